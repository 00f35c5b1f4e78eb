import ArgumentParser
import CasemateLinux
import CasemateModel
import CasemateServer
import CasemateStore
import CasemateVault
import Foundation
import Glibc

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make a data folder of a backup (root).",
        discussion: """
            The folder must not exist, or be empty. It takes the key-encryption key of the backup's time: a file with --kek-file, which is copied
            into the folder, or the provider that --kek names. Nothing is left behind when it fails.
              casemate restore /backup/casemate.tar.gz --data /var/lib/casemate/data --kek-file /safe/kek
            """)
    @OptionGroup var options: ServerOptions
    @Argument(help: "The archive.") var file: String
    @Option(help: "The file with the key-encryption key, for --kek file (the default).") var kekFile: String?
    @OptionGroup var output: OutputOptions

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("casemate restore needs root: bundles are root's", code: 2) }
        let settings = try ServerOptions.settings(try options.effective())
        let isEmpty = Files.names(in: settings.data).allSatisfy { $0 == "." || $0 == ".." }
        guard isEmpty else { throw CommandFailure("\(settings.data) is not empty; a backup is restored into a folder of its own", code: 2) }
        let partial = settings.data + ".restoring"
        Files.removeTree(partial)
        // Nobody else's until all is in its place, with its owner.
        try Files.makeDirectories(partial, mode: 0o700)
        do {
            let found = try await restore(into: partial, settings)
            guard chmod(partial + "/warden", 0o700) == 0 || errno == ENOENT, chmod(partial, 0o711) == 0 else {
                throw SystemError.last("setting the mode of \(partial)")
            }
            rmdir(settings.data)
            guard rename(partial, settings.data) == 0 else { throw SystemError.last("moving the restored folder to \(settings.data)") }
            try output.done(
                "\(settings.data) holds the backup of \(found.created): \(found.functions) functions; start it: casemate up --data \(settings.data)",
                ["restored": settings.data, "created": found.created])
        } catch {
            Files.removeTree(partial)
            throw error
        }
    }

    private func restore(into folder: String, _ settings: ServerSettings) async throws -> (created: String, functions: Int) {
        let backup = try BackupReader(file)
        let account = try HostSetup(settings: settings).account()
        try Files.makeDirectories(folder + "/server", mode: 0o700)
        if let kekFile {
            guard let key = FileManager.default.contents(atPath: kekFile) else { throw CommandFailure("\(kekFile) can't be read", code: 2) }
            guard
                FileManager.default.createFile(
                    atPath: folder + "/server/kek", contents: key, attributes: [.posixPermissions: 0o600])
            else { throw CommandFailure("the key could not be copied") }
        }
        let vault = try settings.vault(
            folder: folder + "/server", mayCreate: false, aws: try settings.awsSource(handedOn: try CloudCredentials.handOn()))
        guard let sealed = try? JSONDecoder().decode(SealedKeys.self, from: Data(backup.keys)) else {
            throw CommandFailure("\(file) has no keys: it is no backup of ours", code: 2)
        }
        let opened: (key: DataKey, files: [String: Secret])
        do { opened = try await sealed.open(with: vault) } catch let error as VaultError {
            throw CommandFailure(
                "the backup needs the key-encryption key \(sealed.keyId): give its file with --kek-file, or its provider with --kek (\(error))",
                code: 2)
        }
        await vault.close()
        // Nothing of it is written before it is known to be as it was made.
        guard opened.key.isValid(backup.code, for: backup.digest) else { throw CommandFailure("\(file) was changed since it was made") }
        Terminal.step("unpacking \(backup.list.entries.count) entries")
        try backup.unpack(into: folder)
        for (name, secret) in opened.files {
            try secret.withBytes { bytes in
                guard
                    FileManager.default.createFile(
                        atPath: "\(folder)/server/\(name)", contents: Data(bytes), attributes: [.posixPermissions: 0o600])
                else { throw CommandFailure("a key could not be written") }
            }
        }
        unlink(folder + "/server/keys.json")
        let functions = try await record(folder, sealed, backup.list)
        try own(folder + "/server", account)
        return (backup.list.created, functions)
    }

    /// The log goes on: with where its server comes from.
    private func record(_ folder: String, _ sealed: SealedKeys, _ list: BackupList) async throws -> Int {
        let signer = try CheckpointSigner(path: folder + "/server/audit.key", mayCreate: false)
        let audit = try AuditLog(folder: folder + "/server/audit", publicKey: signer.publicKey)
        defer { audit.close() }
        try await audit.append(AuditEvent(.backupRestored, actor: "host", ["created": list.created, "key": sealed.keyId]))
        return try await Records(path: folder + "/server/casemate.db").read { try $0.functions().count }
    }

    private func own(_ folder: String, _ account: HostSetup.Account) throws {
        guard lchown(folder, account.uid, account.gid) == 0, chmod(folder, 0o700) == 0 else { throw SystemError.last("owning \(folder)") }
        for name in Files.names(in: folder) where name != "." && name != ".." {
            let path = "\(folder)/\(name)"
            guard let found = FileStatus(path) else { continue }
            if found.kind == .folder {
                try own(path, account)
            } else if lchown(path, account.uid, account.gid) != 0 {
                throw SystemError.last("owning \(path)")
            }
        }
    }
}
