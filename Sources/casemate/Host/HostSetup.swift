import CasemateIdentity
import CasemateLinux
import CasemateModel
import CasemateServer
import Crypto
import Foundation
import Glibc

/// What `up` prepares as root before the server starts: user, folders, keys, runtime.
struct HostSetup {
    let settings: ServerSettings

    struct Account {
        var uid: uid_t
        var gid: gid_t
    }

    /// The server's user, made when it is missing.
    func account() throws -> Account {
        if let found = Self.lookUp(settings.user) { return found }
        let name = settings.user
        guard
            name.utf8.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
            ),
            name.utf8.first.map({ (97...122).contains($0) }) == true
        else { throw CommandFailure("--user \(name): there is no such user, and no user of that name can be made", code: 2) }
        Terminal.step("making the system user \(name)")
        let (status, output) = try Shell.run([
            "useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name,
        ])
        guard status == 0, let made = Self.lookUp(name) else { throw CommandFailure("useradd failed: \(output)") }
        return made
    }

    private static func lookUp(_ name: String) -> Account? {
        guard let found = getpwnam(name) else { return nil }
        return Account(uid: found.pointee.pw_uid, gid: found.pointee.pw_gid)
    }

    /// DIR is root's and can be passed through; each process has a folder of its own in it.
    func folders(for account: Account) throws {
        guard account.uid != 0 else { throw CommandFailure("--user must not be root: only the warden stays root", code: 2) }
        try Files.makeDirectories(settings.data, mode: 0o755)
        chmod(settings.data, 0o711)
        for (name, owner) in [("server", account), ("warden", Account(uid: 0, gid: 0))] {
            let path = "\(settings.data)/\(name)"
            if !Files.exists(path) {
                guard mkdir(path, 0o700) == 0 else { throw SystemError.last("making \(path)") }
            }
            guard chmod(path, 0o700) == 0, chown(path, owner.uid, owner.gid) == 0 else { throw SystemError.last("owning \(path)") }
        }
        // The server runs as another user: every folder above must let it through.
        var above = settings.data
        while above != "/", let cut = above.lastIndex(of: "/") {
            above = cut == above.startIndex ? "/" : String(above[..<cut])
            if let found = FileStatus(above, following: true), found.mode & 0o001 == 0,
                !(found.owner == account.uid && found.mode & 0o100 != 0)
            {
                throw CommandFailure(
                    "--data \(settings.data): user \(settings.user) can't enter \(above); choose a folder below one that everyone may enter, like /var/lib/casemate",
                    code: 2)
            }
        }
    }

    /// The bootstrap administrator's key (a UUIDv4: clients of one ecosystem insist on that form). The server gets its hash alone.
    func adminKey() throws -> String {
        let path = settings.data + "/admin.key"
        if let text = try? Files.text(path, limit: 4096) {
            let key = text.trimmingCharacters(in: .whitespacesAndNewlines)
            guard KeyId(key) != nil else { throw CommandFailure("\(path) does not hold a UUID; remove it to have a new key made") }
            return key
        }
        let key = KeyId().text
        let fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw SystemError.last("making \(path)") }
        defer { close(fd) }
        try Files.writeAll(fd, Array((key + "\n").utf8), naming: path)
        return key
    }

    static func hash(_ key: String) -> String {
        SHA256.hash(data: Array(key.utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// The command line's own file, when there is none yet: the server adds its URL to it.
    func newClientConfiguration(key: String, ca: String?) throws -> Int32? {
        let path = ClientConfiguration.path
        if Files.exists(path) { return nil }
        if let cut = path.lastIndex(of: "/"), cut != path.startIndex { try Files.makeDirectories(String(path[..<cut]), mode: 0o700) }
        let fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        guard fd >= 0 else { throw SystemError.last("making \(path)") }
        try Files.writeAll(fd, Array("key: \(key)\n\(ca.map { "ca: \($0)\n" } ?? "")".utf8), naming: path)
        return fd
    }

    /// What builds and the gate work with.
    static func tools(_ installation: Installation) throws {
        let tools = ToolsInstaller()
        if !tools.isInstalled {
            Terminal.step("fetching the build tools (uv \(ToolsInstaller.version))")
            try tools.install()
        }
        for tools in [PythonTools.gate(installation), PythonTools.fetch(installation), PythonTools.checks(installation)]
        where try !tools.isInstalled {
            Terminal.step("fetching what \(tools.name) sandboxes work with (once per host, about 10 s)")
            try tools.install()
        }
    }

    func runtime(_ name: String) throws {
        let installer = RuntimeInstaller()
        guard !installer.isInstalled(name) else { return }
        Terminal.step("installing runtime \(name) (once per host, about 10 s)")
        try installer.install(name)
    }
}
