import CasemateLinux
import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

@Suite("Uploaded archives")
struct ArtifactStoreTests {
    @Test("an archive is stored under its SHA-256")
    func digest() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            let upload = try store.upload(by: "key:x")
            try upload.write(Array("a".utf8))
            try upload.write([])
            try upload.write(Array("bc".utf8))
            let digest = try await upload.finish()
            #expect(digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            #expect(try names(in: folder + "/artifacts") == [digest])
            #expect(try contents("\(folder)/artifacts/\(digest)") == Array("abc".utf8))
            #expect(try await store.open(digest) != nil)
            await store.remove(digest)
            #expect(try await store.open(digest) == nil)
            #expect(try names(in: folder + "/artifacts") == [])
        }
    }

    @Test("the same archive twice is one file")
    func twice() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder)
            var digests: [String] = []
            for _ in 0..<2 {
                let upload = try store.upload(by: "key:x")
                try upload.write([1, 2, 3])
                digests.append(try await upload.finish())
            }
            #expect(digests[0] == digests[1])
            #expect(try names(in: folder) == [digests[0]])
        }
    }

    @Test("an upload that is not finished leaves nothing, and has no name while it runs")
    func unfinished() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder)
            do {
                let upload = try store.upload(by: "key:x")
                try upload.write([1, 2, 3])
                #expect(try names(in: folder).allSatisfy { !ArtifactStore.isDigest($0) })
                withExtendedLifetime(upload) {}
            }
            #expect(try names(in: folder) == [])
        }
    }

    @Test("opening the store removes what an interrupted upload left, and no archive")
    func interrupted() async throws {
        try await withFolder { folder async throws in
            let digest = try await ArtifactStore(folder: folder).add([1])
            for name in [".upload-123", ".fetch-123"] { try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
            let store = try ArtifactStore(folder: folder)
            #expect(try names(in: folder) == [digest])
            #expect(try await store.open(digest) != nil)
        }
    }

    static let noDigests = [
        "", "a", String(repeating: "a", count: 63), String(repeating: "a", count: 65), String(repeating: "A", count: 64),
        String(repeating: "g", count: 64), "../" + String(repeating: "a", count: 61), String(repeating: "a", count: 60) + "/../",
        String(repeating: "a", count: 63) + "\0", "secret",
    ]

    @Test("a name that is no digest is not opened and not removed", arguments: noDigests)
    func noDigest(name: String) async throws {
        #expect(!ArtifactStore.isDigest(name))
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/artifacts/secret"))
            #expect(try await store.open(name) == nil)
            await store.remove(name)
            #expect(try names(in: folder + "/artifacts") == ["secret"])
        }
    }

    @Test("a link with a digest's name is not followed")
    func link() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            let digest = String(repeating: "b", count: 64)
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/outside"))
            try FileManager.default.createSymbolicLink(atPath: "\(folder)/artifacts/\(digest)", withDestinationPath: folder + "/outside")
            #expect(try await store.open(digest) == nil)
        }
    }

    @Test("what is looked at once gets no name, and is gone with its descriptor")
    func taken() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder)
            let file: Descriptor
            do {
                let upload = try store.upload(by: nil)
                try upload.write([1, 2, 3])
                let taken = try upload.taken()
                #expect(ArtifactStore.isDigest(taken.digest))
                file = taken.archive
            }
            #expect(try names(in: folder) == [])
            #expect(try Files.read(file.raw, limit: 10, naming: "it") == [1, 2, 3])
            #expect(write(file.raw, "x", 1) == -1)
            file.staysOpen()
        }
    }

    @Test("whoever uploaded an archive may use it, and nobody else; not after a restart either")
    func uploader() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder)
            let upload = try store.upload(by: "key:x")
            try upload.write([1])
            let digest = try await upload.finish()
            #expect(store.isUploaded(digest, by: "key:x"))
            #expect(!store.isUploaded(digest, by: "key:y"))
            #expect(!store.isUploaded(String(repeating: "0", count: 64), by: "key:x"))
            #expect(try !ArtifactStore(folder: folder).isUploaded(digest, by: "key:x"))
        }
    }

    @Test("an upload that does not end is nobody's")
    func unfinishedUpload() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder)
            do {
                let upload = try store.upload(by: "key:x")
                try upload.write([])
                withExtendedLifetime(upload) {}
            }
            #expect(!store.isUploaded("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", by: "key:x"))
        }
    }
}
