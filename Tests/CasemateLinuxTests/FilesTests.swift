import Foundation
import Testing

@testable import CasemateLinux

@Suite("File operations")
struct FilesTests {
    @Test("a file up to the limit is read, one byte more is refused")
    func limit() throws {
        try withFolder { folder throws in
            try put(String(repeating: "x", count: 20_000), at: folder + "/f")
            #expect(try Files.read(folder + "/f", limit: 20_000).count == 20_000)
            let error = #expect(throws: SystemError.self) { try Files.read(folder + "/f", limit: 19_999) }
            #expect(error?.errno == EFBIG)
        }
    }

    @Test("a file without an end is refused, not read for ever")
    func endless() { #expect(throws: SystemError.self) { try Files.read("/dev/zero", limit: 100_000) } }

    @Test("a missing file's error says what was being done")
    func missing() throws {
        try withFolder { folder throws in
            let error = #expect(throws: SystemError.self) { try Files.read(folder + "/none") }
            #expect(error?.errno == ENOENT)
            #expect(error?.description.hasPrefix("opening \(folder)/none: ") == true)
        }
    }

    @Test("writing makes a private file and replaces what it held; setting makes none")
    func writing() throws {
        try withFolder { folder throws in
            try Files.write("long before", to: folder + "/f")
            #expect(try mode(at: folder + "/f") == 0o600)
            try Files.write("now", to: folder + "/f")
            #expect(try Files.text(folder + "/f") == "now")
            #expect(throws: SystemError.self) { try Files.set(folder + "/g", to: "x") }
            #expect(!Files.exists(folder + "/g"))
        }
    }

    @Test("folders are made with the mode that was asked for, and those there already keep theirs")
    func directories() throws {
        try withFolder { folder throws in
            try FileManager.default.createDirectory(
                atPath: folder + "/a", withIntermediateDirectories: false, attributes: [.posixPermissions: 0o750])
            try Files.makeDirectories(folder + "/a/b/c", mode: 0o711)
            #expect(try mode(at: folder + "/a") == 0o750)
            #expect(try mode(at: folder + "/a/b") == 0o711)
            #expect(try mode(at: folder + "/a/b/c") == 0o711)
            // Group and others' write bits are what a umask would take away.
            try Files.makeDirectories(folder + "/open", mode: 0o777)
            #expect(try mode(at: folder + "/open") == 0o777)
            try Files.makeDirectories(folder + "/a/b/c", mode: 0o700)
            #expect(try mode(at: folder + "/a/b/c") == 0o711)
        }
    }

    @Test("a folder is not made below a file")
    func belowFile() throws {
        try withFolder { folder throws in
            try put("", at: folder + "/f")
            #expect(throws: SystemError.self) { try Files.makeDirectories(folder + "/f/x", mode: 0o755) }
        }
    }

    @Test("names are sorted as bytes; a link to a folder has none")
    func names() throws {
        try withFolder { folder throws in
            for name in ["b", "a", "B", "é", ".hidden"] { try put("", at: "\(folder)/d/\(name)") }
            #expect(Files.names(in: folder + "/d") == [".hidden", "B", "a", "b", "é"])
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "d")
            #expect(Files.names(in: folder + "/link") == [])
            #expect(Files.names(in: folder + "/none") == [])
            #expect(Files.names(in: folder + "/d/a") == [])
        }
    }

    @Test("removing a tree follows no link out of it")
    func removeTree() throws {
        try withFolder { folder throws in
            try put("keep", at: folder + "/outside/file")
            try put("go", at: folder + "/tree/a/b/file")
            try FileManager.default.createSymbolicLink(atPath: folder + "/tree/a/folder", withDestinationPath: folder + "/outside")
            try FileManager.default.createSymbolicLink(atPath: folder + "/tree/a/file", withDestinationPath: folder + "/outside/file")
            try FileManager.default.createSymbolicLink(atPath: folder + "/tree/up", withDestinationPath: "..")
            Files.removeTree(folder + "/tree")
            #expect(!Files.exists(folder + "/tree"))
            #expect(try text(at: folder + "/outside/file") == "keep")
        }
    }

    @Test("removing a link to a folder removes the link")
    func removeLink() throws {
        try withFolder { folder throws in
            try put("keep", at: folder + "/outside/file")
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "outside")
            Files.removeTree(folder + "/link")
            #expect(!Files.exists(folder + "/link"))
            #expect(try text(at: folder + "/outside/file") == "keep")
            Files.removeTree(folder + "/none")
        }
    }

    @Test("a dangling link exists")
    func dangling() throws {
        try withFolder { folder throws in
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "nowhere")
            #expect(Files.exists(folder + "/link"))
        }
    }
}
