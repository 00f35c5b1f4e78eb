import CasemateLinux
import CasemateWire
import Foundation
import Testing

@testable import CasemateWarden

@Suite("Trees of bundles")
struct BundleTreeTests {
    private static let roomy = BundleTree.Limits(bytes: 1 << 20, files: 1000)

    private func tree(_ path: String, limits: BundleTree.Limits = roomy) throws -> BundleTree {
        let root = try openFolder(path)
        return try withExtendedLifetime(root) { try BundleTree(root: root.raw, limits: limits) }
    }

    private func digest(_ path: String) throws -> String {
        let root = try openFolder(path)
        return try withExtendedLifetime(root) { try BundleTree(root: root.raw, limits: Self.roomy).digest(root: root.raw).hex }
    }

    @Test("entries are sorted by their whole path as bytes")
    func order() throws {
        try withFolder { folder throws in
            try putTree(at: folder)
            #expect(
                try tree(folder).entries.map(\.path) == [
                    "app", "app-data", "app/handler.py", "app/link", "app/tool", "empty", "lib", "lib/deep", "lib/deep/er",
                    "lib/deep/er/file", "lib/link",
                ])
            #expect(try tree(folder).bytes == 9 + 10 + 1)
        }
    }

    @Test("the digest is the one that PROTOCOL.md defines, computed by another program")
    func digest() throws {
        try withFolder { folder throws in
            try putTree(at: folder)
            func file(_ path: String, _ mode: String) throws -> String {
                "\(path)\0f\0\(mode)\0\(try sha256(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(path)"))))\n"
            }
            let lines = [
                "app\0d\0" + "0755\0\n", try file("app-data", "0644"), try file("app/handler.py", "0644"),
                "app/link\0l\0" + "0777\0handler.py\n",
                try file("app/tool", "0755"), "empty\0d\0" + "0755\0\n", "lib\0d\0" + "0755\0\n", "lib/deep\0d\0" + "0755\0\n",
                "lib/deep/er\0d\0" + "0755\0\n", try file("lib/deep/er/file", "0644"), "lib/link\0l\0" + "0777\0../app/./handler.py\n",
            ]
            #expect(try digest(folder) == sha256(Data(lines.joined().utf8)))
        }
    }

    @Test("an empty tree has the digest of nothing")
    func empty() throws {
        try withFolder { folder throws in #expect(try digest(folder) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        }
    }

    @Test("a name, a byte, a mode, a link's target and an empty folder each change the digest")
    func sensitivity() throws {
        try withFolder { folder throws in
            var seen: Set<String> = []
            func note(_ name: String, _ change: (String) throws -> Void) throws {
                let root = folder + "/" + name
                try putTree(at: root)
                try change(root)
                #expect(seen.insert(try digest(root)).inserted, "\(name)")
            }
            try note("same") { _ in }
            try note("byte") { try put("print(2)\n", at: $0 + "/app/handler.py") }
            try note("name") { #expect(rename($0 + "/app-data", $0 + "/app-date") == 0) }
            try note("mode") { #expect(chmod($0 + "/app-data", 0o744) == 0) }
            try note("target") {
                unlink($0 + "/app/link")
                #expect(symlink("tool", $0 + "/app/link") == 0)
            }
            try note("folder") { #expect(rmdir($0 + "/empty") == 0) }
            try note("moved") { #expect(rename($0 + "/app/tool", $0 + "/lib/tool") == 0) }
        }
    }

    @Test("modes are 0644 and 0755, whatever a build set")
    func modes() throws {
        try withFolder { folder throws in
            for (name, mode) in [("a", 0o600), ("b", 0o666), ("c", 0o4755), ("d", 0o500), ("e", 0o401), ("f", 0o2644)] as [(String, mode_t)]
            {
                try put("x", at: folder + "/" + name, mode: mode)
            }
            #expect(try tree(folder).entries.map(\.mode) == [0o644, 0o644, 0o755, 0o755, 0o755, 0o644])
            let first = try digest(folder)
            chmod(folder + "/a", 0o640)
            #expect(try digest(folder) == first)
        }
    }

    @Test(
        "a link that stays inside is taken",
        arguments: [
            ("handler.py", "app/l"), ("../lib", "app/l"), ("..", "app/l"), (".", "l"), ("./a/../b", "l"), ("a//b", "l"),
            ("../../x", "a/b/l"),
        ])
    func inside(target: String, path: String) { #expect(BundleTree.staysInside(target, from: path)) }

    @Test(
        "a link that leads out is none of a bundle's",
        arguments: [
            ("/etc/passwd", "l"), ("/", "a/l"), ("..", "l"), ("../x", "l"), ("../../x", "a/l"), ("a/../../x", "l"), ("../a/../../x", "a/l"),
            ("./..", "l"), ("a/b/../../..", "l"), ("../../../a", "a/b/l"), ("//x", "l"), ("a\0b", "l"),
        ])
    func outside(target: String, path: String) { #expect(!BundleTree.staysInside(target, from: path)) }

    @Test("a tree with a link that leads out is refused", arguments: ["/etc", "..", "../../etc/passwd"])
    func outwardLink(target: String) throws {
        try withFolder { folder throws in
            try put("x", at: folder + "/app/file")
            #expect(symlink(target, folder + "/app/link") == 0)
            if target == ".." {
                _ = try tree(folder)
            } else {
                let error = #expect(throws: SystemError.self) { try tree(folder) }
                #expect(error?.errno == EXDEV)
            }
        }
    }

    @Test("a tree with a link that leads out by way of another link is refused")
    func outwardChain() throws {
        try withFolder { folder throws in
            try put("x", at: folder + "/app/file")
            #expect(symlink("..", folder + "/app/up") == 0)
            // As text app/up/../.. is the root; up being the root already, it is two folders above it.
            #expect(symlink("up/../../etc", folder + "/app/out") == 0)
            #expect(throws: SystemError.self) { try tree(folder) }
        }
    }

    @Test("a pipe is refused")
    func fifo() throws {
        try withFolder { folder throws in
            #expect(mkfifo(folder + "/pipe", 0o644) == 0)
            let error = #expect(throws: SystemError.self) { try tree(folder) }
            #expect(error?.errno == EINVAL)
        }
    }

    @Test("a socket is refused")
    func socketFile() throws {
        try withFolder { folder throws in
            let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(fd) }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            // A path relative to the descriptor keeps it short enough.
            let root = try openFolder(folder)
            let path = "/proc/self/fd/\(root.raw)/s"
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
            #expect(bound == 0)
            #expect(throws: SystemError.self) { try tree(folder) }
        }
    }

    @Test("a name that is not text is refused")
    func notText() throws {
        try withFolder { folder throws in
            let fd = open(
                Array(folder.utf8CString.dropLast()) + [47, 97, CChar(bitPattern: 0xff), 0], O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            #expect(fd >= 0)
            close(fd)
            #expect(throws: SystemError.self) { try tree(folder) }
        }
    }

    @Test("one entry over the limit is too many")
    func count() throws {
        try withFolder { folder throws in
            try putTree(at: folder)
            #expect(try tree(folder, limits: .init(bytes: 1 << 20, files: 11)).entries.count == 11)
            let error = #expect(throws: SystemError.self) { try tree(folder, limits: .init(bytes: 1 << 20, files: 10)) }
            #expect(error?.errno == EMFILE)
        }
    }

    @Test("one byte over the limit is too many, also of a file with holes")
    func size() throws {
        try withFolder { folder throws in
            try putTree(at: folder)
            #expect(try tree(folder, limits: .init(bytes: 20, files: 100)).bytes == 20)
            #expect(throws: SystemError.self) { try tree(folder, limits: .init(bytes: 19, files: 100)) }
            #expect(truncate(folder + "/app-data", 1 << 40) == 0)
            let error = #expect(throws: SystemError.self) { try tree(folder, limits: .init(bytes: 1 << 30, files: 100)) }
            #expect(error?.errno == EFBIG)
        }
    }

    @Test("a tree deeper than 32 folders is refused")
    func depth() throws {
        try withFolder { folder throws in
            let deep = folder + String(repeating: "/d", count: 31)
            try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
            #expect(try tree(folder).entries.count == 31)
            try FileManager.default.createDirectory(atPath: deep + "/d", withIntermediateDirectories: true)
            let error = #expect(throws: SystemError.self) { try tree(folder) }
            #expect(error?.errno == ELOOP)
        }
    }

    @Test(
        "SHA-256 has the values of FIPS 180-4",
        arguments: [
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ])
    func hash(text: String, hex: String) {
        let hash = SHA256()
        hash.update(Array(text.utf8))
        let bytes = hash.finish()
        #expect(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == hex)
    }
}
