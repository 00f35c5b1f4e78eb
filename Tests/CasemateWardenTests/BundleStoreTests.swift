import CasemateLinux
import CasemateWire
import Foundation
import Testing

@testable import CasemateWarden

@Suite("Bundles on disk")
struct BundleStoreTests {
    /// A store with one bundle, seen as intact once; file times have moved on when `body` runs.
    private func withBundle(_ body: (BundleStore, BundleDigest, _ path: String) throws -> Void) throws {
        try withFolder { folder throws in
            let store = try BundleStore(path: folder + "/bundles")
            try putTree(at: folder + "/bundles/new")
            let root = try openFolder(folder + "/bundles/new")
            let digest = try BundleTree(root: root.raw, limits: .init(bytes: 1 << 20, files: 100)).digest(root: root.raw)
            let path = folder + "/bundles/" + BundleStore.name(digest)
            #expect(rename(folder + "/bundles/new", path) == 0)
            #expect(try store.verify(digest) == .intact)
            // The kernel's file times move in steps of up to 10 ms.
            usleep(20_000)
            try body(store, digest, path)
        }
    }

    @Test("an untouched bundle is intact, again and again")
    func intact() throws {
        try withBundle { store, digest, _ throws in
            #expect(try store.verify(digest) == .intact)
            #expect(try store.verify(digest) == .intact)
        }
    }

    @Test("a bundle that is not there is unknown")
    func unknown() throws {
        try withBundle { store, _, path throws in
            let other = BundleDigest([UInt8](repeating: 0, count: 32))!
            #expect(try store.verify(other) == .unknown)
            // A link of that name is no bundle either.
            let link = URL(fileURLWithPath: path).deletingLastPathComponent().path + "/" + BundleStore.name(other)
            #expect(symlink(path, link) == 0)
            #expect(try store.verify(other) == .unknown)
        }
    }

    @Test("a changed byte is found")
    func changedByte() throws {
        try withBundle { store, digest, path throws in
            try put("print(666)\n", at: path + "/app/handler.py")
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a byte changed with the size and the modification time kept is found")
    func changedByteSameTime() throws {
        try withBundle { store, digest, path throws in
            let file = path + "/app/handler.py"
            var before = stat()
            #expect(stat(file, &before) == 0)
            let fd = open(file, O_WRONLY | O_CLOEXEC)
            #expect(pwrite(fd, "9", 1, 6) == 1)
            var times = [before.st_atim, before.st_mtim]
            #expect(futimens(fd, &times) == 0)
            close(fd)
            var after = stat()
            #expect(stat(file, &after) == 0)
            #expect(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec && after.st_size == before.st_size)
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a file replaced by one of the same size is found")
    func replaced() throws {
        try withBundle { store, digest, path throws in
            try put("print(3)\n", at: path + "/new")
            #expect(rename(path + "/new", path + "/app/handler.py") == 0)
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("an added file is found")
    func added() throws {
        try withBundle { store, digest, path throws in
            try put("", at: path + "/app/more.py")
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a removed file is found")
    func removed() throws {
        try withBundle { store, digest, path throws in
            #expect(unlink(path + "/app-data") == 0)
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a file made executable is found")
    func mode() throws {
        try withBundle { store, digest, path throws in
            #expect(chmod(path + "/app/handler.py", 0o755) == 0)
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a link that points elsewhere is found")
    func link() throws {
        try withBundle { store, digest, path throws in
            #expect(unlink(path + "/app/link") == 0)
            #expect(symlink("tool", path + "/app/link") == 0)
            #expect(try store.verify(digest) == .changed)
        }
    }

    @Test("a bundle put back as it was is intact again")
    func restored() throws {
        try withBundle { store, digest, path throws in
            #expect(rename(path + "/app/tool", path + "/gone") == 0)
            #expect(try store.verify(digest) == .changed)
            #expect(rename(path + "/gone", path + "/app/tool") == 0)
            #expect(try store.verify(digest) == .intact)
        }
    }

    @Test("a bundle with a link that leads out is never intact")
    func outward() throws {
        try withBundle { store, digest, path throws in
            #expect(symlink("/etc", path + "/app/etc") == 0)
            #expect(throws: SystemError.self) { try store.verify(digest) }
        }
    }

    @Test("a removed bundle is unknown")
    func remove() throws {
        try withBundle { store, digest, path throws in
            store.remove(digest)
            #expect(!Files.exists(path))
            #expect(try store.verify(digest) == .unknown)
        }
    }

    @Test("opening the store removes what an interrupted copy left, and no bundle")
    func staging() throws {
        try withFolder { folder throws in
            try put("x", at: folder + "/b/.staging-12/file")
            try put("x", at: folder + "/b/sha256-00/file")
            _ = try BundleStore(path: folder + "/b")
            #expect(!Files.names(in: folder + "/b").contains(".staging-12"))
            #expect(Files.names(in: folder + "/b/sha256-00") == ["file"])
        }
    }
}
