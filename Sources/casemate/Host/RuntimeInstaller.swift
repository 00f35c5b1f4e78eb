import CasemateLinux
import Crypto
import Foundation
import Glibc

/// Makes a runtime's root file system from Debian's packages, beside its final place, and renames it there.
struct RuntimeInstaller {
    static let known = ["python3.11"]

    /// What goes in. No shell, no set-id file.
    private static let packages = [
        "python3-minimal", "libpython3.11-stdlib", "ca-certificates", "libssl3", "libexpat1", "libstdc++6", "libgcc-s1",
    ]
    /// Mount points must be there: in a user namespace the container runtime can't make them.
    private static let mountPoints = ["proc", "sys", "dev", "tmp", "fn", "out", "opt/casemate", "opt/tools", "etc/ssl/certs"]

    let folder = Installation.runtimesFolder

    func isInstalled(_ name: String) -> Bool { access("\(folder)/\(name)/usr/bin/\(name)", X_OK) == 0 }

    /// Name and folder of each.
    var installed: [(name: String, folder: String)] {
        Files.names(in: folder).compactMap { name in
            var target = [CChar](repeating: 0, count: 256)
            let length = readlink("\(folder)/\(name)", &target, 255)
            guard length > 0 else { return nil }
            return (name, String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
    }

    func install(_ name: String) throws {
        guard Self.known.contains(name) else {
            throw CommandFailure("there is no runtime \(name); known: \(Self.known.joined(separator: ", "))", code: 2)
        }
        guard geteuid() == 0 else { throw CommandFailure("installing a runtime needs root", code: 2) }
        guard findProgram("mmdebstrap") != nil else { throw CommandFailure("mmdebstrap is not installed; apt-get install mmdebstrap") }
        try Files.makeDirectories(folder, mode: 0o755)
        for stale in Files.names(in: folder) where stale.hasPrefix(".new-") { Files.removeTree("\(folder)/\(stale)") }
        let staging = "\(folder)/.new-\(name)-\(getpid())"
        defer { Files.removeTree(staging) }
        let (status, output) = try Shell.run([
            "mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--include=\(Self.packages.joined(separator: ","))", "bookworm",
            staging,
        ])
        guard status == 0 else { throw CommandFailure("mmdebstrap failed:\n\(output.suffix(2000))") }
        for point in Self.mountPoints { try Files.makeDirectories("\(staging)/\(point)", mode: 0o755) }
        try Files.write("", to: staging + "/etc/ssl/certs/ca-certificates.crt", mode: 0o644)
        // The host's own name service is no function's business.
        unlink(staging + "/etc/resolv.conf")
        try Files.write("nameserver 127.0.0.53\noptions timeout:2 attempts:1\n", to: staging + "/etc/resolv.conf", mode: 0o644)
        try Files.write("127.0.0.1 localhost\n", to: staging + "/etc/hosts", mode: 0o644)
        try Files.write("fn\n", to: staging + "/etc/hostname", mode: 0o644)
        try Files.write("root:x:0:0::/tmp:/bin/false\nfn:x:1000:1000::/tmp:/bin/false\n", to: staging + "/etc/passwd", mode: 0o644)
        try Files.write("root:x:0:\nfn:x:1000:\n", to: staging + "/etc/group", mode: 0o644)
        for name in ["resolv.conf", "hosts", "hostname", "passwd", "group", "ssl/certs/ca-certificates.crt"] {
            chmod("\(staging)/etc/\(name)", 0o644)
        }
        for drop in ["var/cache/apt", "var/lib/apt", "etc/apt", "usr/share/doc", "usr/share/man", "var/log"] {
            Files.removeTree("\(staging)/\(drop)")
        }
        // Without byte code every sandbox would compile what it preloads. Debian's own interpreter, on Debian's own files.
        let compiled = try Shell.run([
            "chroot", staging, "/usr/bin/\(name)", "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
            "/usr/lib/\(name)",
        ])
        guard compiled.status == 0 else {
            throw CommandFailure("the standard library could not be compiled:\n\(compiled.output.suffix(2000))")
        }
        chmod(staging, 0o755)
        let final = "\(name)-\(try Self.digest(of: staging))"
        if !Files.exists("\(folder)/\(final)") {
            guard rename(staging, "\(folder)/\(final)") == 0 else { throw SystemError.last("naming the runtime") }
        }
        let link = "\(folder)/.link-\(getpid())"
        unlink(link)
        guard symlink(final, link) == 0, rename(link, "\(folder)/\(name)") == 0 else { throw SystemError.last("linking the runtime") }
    }

    func remove(_ name: String) throws {
        guard let found = installed.first(where: { $0.name == name }) else {
            throw CommandFailure("runtime \(name) is not installed", code: 2)
        }
        unlink("\(folder)/\(name)")
        for old in Files.names(in: folder) where old == found.folder || old.hasPrefix(name + "-") { Files.removeTree("\(folder)/\(old)") }
    }

    /// Names the contents: the same files have the same name.
    private static func digest(of rootfs: String) throws -> String {
        var hash = SHA256()
        try add(rootfs, prefix: "", to: &hash)
        return hash.finalize().prefix(6).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func add(_ folder: String, prefix: String, to hash: inout SHA256) throws {
        for name in Files.names(in: folder) {
            let path = folder + "/" + name
            guard let found = FileStatus(path) else { continue }
            hash.update(data: Array("\(prefix)/\(name)\0\(found.mode)\0".utf8))
            switch found.kind {
            case .folder: try add(path, prefix: prefix + "/" + name, to: &hash)
            case .file: hash.update(data: try Files.read(path, limit: 256 << 20))
            case .link:
                var target = [CChar](repeating: 0, count: 4096)
                let length = max(0, readlink(path, &target, target.count))
                hash.update(data: target.prefix(length).map { UInt8(bitPattern: $0) })
            case .other: break
            }
        }
    }
}
