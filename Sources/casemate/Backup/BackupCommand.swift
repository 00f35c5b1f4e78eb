import ArgumentParser
import CasemateLinux
import CasemateModel
import CasemateServer
import CasemateStore
import Crypto
import Foundation
import Glibc
import NIOHTTP1

struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Back up a server that runs on this host (root).",
        discussion: """
            One archive of the database as it is now, sources, bundles, the audit log and the server's keys. Secrets and keys are in it as they
            are stored, sealed; the key-encryption key is not in it: keep that elsewhere. Functions' logs are left out.
            A backup opens with the key of its time: after casemate vault rotate make a new one.
            """)
    @OptionGroup var options: ServerOptions
    @Argument(help: "The archive to write, like /backup/casemate.tar.gz; must not exist.") var file: String
    @OptionGroup var output: OutputOptions

    struct Begun: Decodable {
        var id: String
        var version: String
    }

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("casemate backup needs root: bundles are root's", code: 2) }
        let data = try ServerOptions.settings(try options.effective()).data
        guard !Files.exists(file) else { throw CommandFailure("\(file) exists already", code: 2) }
        guard Files.exists(data + "/server/casemate.db") else {
            throw CommandFailure("\(data) is no data folder; give the one of the server with --data", code: 2)
        }
        let partial = file + ".partial"
        unlink(partial)
        do {
            let size = try await make(data, partial)
            guard rename(partial, file) == 0 else { throw SystemError.last("writing \(file)") }
            try output.done(
                "\(file): \(size.files) files, \(size.bytes >> 10) KiB; opens with \(size.key)", ["backup": file, "key": size.key])
        } catch {
            unlink(partial)
            throw error
        }
    }

    private func make(_ data: String, _ path: String) async throws -> (files: Int, bytes: Int, key: String) {
        try await APIClient.with { client in
            Terminal.step("copying the database")
            let begun: Begun = try await client.json(.POST, "/v1/backups")
            let place = "\(data)/server/\(Backups.folderName)"
            guard let keys = FileManager.default.contents(atPath: place + "/keys.json"),
                let sealed = try? JSONDecoder().decode(SealedKeys.self, from: keys), sealed.id == begun.id
            else { throw CommandFailure("the server that answered has another data folder than \(data)", code: 2) }
            let sources = try BackupSources(data: data)
            let list = BackupList(
                format: BackupList.format, version: begun.version, created: Timestamp.now.rfc3339, key: sealed.keyId,
                entries: sources.entries)
            let bytes = try list.bytes
            struct Body: Encodable { var digest: String }
            struct Seal: Decodable { var code: String }
            Terminal.step("packing \(sources.entries.count) entries")
            let writer = try TarWriter(path: path)
            try writer.add(BackupList.name, mode: 0o600, bytes)
            try sources.write(to: writer)
            // Not before all is read: it removes the copy.
            let digest = Data(SHA256.hash(data: bytes)).base64EncodedString()
            let seal: Seal = try await client.json(.POST, "/v1/backups/\(begun.id)/seal", body: Body(digest: digest))
            try writer.add(BackupList.codeName, mode: 0o600, Data(seal.code.utf8))
            let size = try writer.finish()
            return (sources.entries.count, size, sealed.keyId)
        }
    }
}

/// What goes into a backup, and where it is.
struct BackupSources {
    private(set) var entries: [BackupList.Entry] = []
    private var files: [String: String] = [:]

    init(data: String) throws {
        let copy = "\(data)/server/\(Backups.folderName)"
        try add("server/casemate.db", at: copy + "/casemate.db")
        try add("server/queue.db", at: copy + "/queue.db")
        try add("server/keys.json", at: copy + "/keys.json")
        // What the bucket has is kept there.
        let stored = Set(Files.names(in: ArtifactStore.marksFolder(of: data + "/server/artifacts")))
        try walk("\(data)/server/artifacts", as: "server/artifacts") { stored.contains($0) || ArtifactStore.isUnfinished($0) }
        for folder in ["server/audit", "warden/bundles"] { try walk("\(data)/\(folder)", as: folder) }
    }

    private mutating func walk(_ path: String, as name: String, leaving isLeft: (String) -> Bool = { _ in false }) throws {
        for child in Files.names(in: path) where child != "." && child != ".." && !isLeft(child) {
            let (inside, full) = ("\(name)/\(child)", "\(path)/\(child)")
            guard let found = FileStatus(full) else { continue }
            switch found.kind {
            case .file: try add(inside, at: full)
            case .folder:
                entries.append(BackupList.Entry(path: inside, mode: Self.octal(found.mode)))
                try walk(full, as: inside)
            case .link:
                let target = try FileManager.default.destinationOfSymbolicLink(atPath: full)
                entries.append(BackupList.Entry(path: inside, mode: Self.octal(found.mode), target: target))
            case .other: continue
            }
        }
    }

    /// As long as it is now: what is only ever added to may grow meanwhile.
    private mutating func add(_ name: String, at path: String) throws {
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard fd >= 0 else { throw SystemError.last("opening \(path)") }
        defer { close(fd) }
        guard let found = FileStatus(fd) else { throw SystemError.last("looking at \(path)") }
        var hash = SHA256()
        var left = found.size
        while left > 0 {
            let part = try Files.readPart(fd, most: min(left, 1 << 20), naming: path)
            guard !part.isEmpty else { throw SystemError("reading \(path)", errno: EIO) }
            hash.update(data: part)
            left -= part.count
        }
        let digest = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        entries.append(
            BackupList.Entry(path: name, mode: Self.octal(found.mode), size: found.size, sha256: digest))
        files[name] = path
    }

    private static func octal(_ mode: mode_t) -> String { String(mode & 0o777, radix: 8) }

    func write(to writer: TarWriter) throws {
        for entry in entries {
            let mode = mode_t(entry.mode, radix: 8) ?? 0o600
            if let target = entry.target {
                try writer.addLink(entry.path, target: target)
            } else if let size = entry.size, let path = files[entry.path] {
                try writer.add(entry.path, mode: mode, size: size, from: path)
            } else {
                try writer.addFolder(entry.path, mode: mode)
            }
        }
    }
}
