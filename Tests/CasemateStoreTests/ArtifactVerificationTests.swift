import CasemateLinux
import CasemateModel
import Foundation
import Synchronization
import Testing

@testable import CasemateStore

@Suite("Archives that are not what their digest says, in a folder")
struct ArtifactVerificationTests {
    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test("a file that has not changed is read through once")
    func once() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            let digest = try await store.add([1, 2, 3])
            try await settle()
            for _ in 1...5 { #expect(try await store.contents(of: digest) == [1, 2, 3]) }
            #expect(store.folder.readings.load(ordering: .relaxed) == 1)
        }
    }

    @Test("whoever changed a file within the same tick of its clock could not be seen, so it is not relied on")
    func tick() async throws {
        try await withFolder { folder async throws in
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/a"))
            let identity = try #require(FileIdentity(path: folder + "/a"))
            #expect(!identity.isSettled(at: identity.modified))
            #expect(identity.isSettled(at: identity.modified + 1_000_000_000))
            var verified = VerifiedFiles()
            verified.note("a", as: identity, readFrom: identity.modified)
            #expect(!verified.has("a", as: identity))
            verified.note("a", as: identity, readFrom: identity.modified + 1_000_000_000)
            #expect(verified.has("a", as: identity))
            #expect(!verified.has("b", as: identity))
            verified.forget("a")
            #expect(!verified.has("a", as: identity))
        }
    }

    @Test("a changed byte is found, though size and time of modification are as before; nobody gets the file, and it is set aside")
    func changedByte() async throws {
        try await withFolder { folder async throws in
            let told = Told()
            let store = try ArtifactStore(folder: folder + "/artifacts") { told.add($0) }
            let digest = try await store.add([1, 2, 3])
            let other = try await store.add([4])
            try await settle()
            #expect(try await store.open(digest) != nil)
            try tamper("\(folder)/artifacts/\(digest)")
            for _ in 1...2 {
                let problem = await #expect(throws: Problem.self) { try await store.open(digest) }
                #expect(problem?.code == .unavailable)
            }
            #expect(told.quarantined == [.quarantined(digest: digest, .folder)])
            #expect(store.quarantined == [.folder: 1])
            #expect(try names(in: folder + "/artifacts") == [other])
            #expect(try names(in: folder + "/quarantine") == ["\(digest)-1"])
            #expect(try contents("\(folder)/quarantine/\(digest)-1") == [0xFF, 2, 3])
            #expect(try mode("\(folder)/quarantine/\(digest)-1") == 0o600)
            #expect(try await store.contents(of: other) == [4])
            // Not after a restart either.
            await #expect(throws: Problem.self) { try await ArtifactStore(folder: folder + "/artifacts").open(digest) }
            #expect(try await store.add([1, 2, 3]) == digest)
            #expect(try await store.contents(of: digest) == [1, 2, 3])
        }
    }

    @Test("another file in its place is found, also one that is none", arguments: ["file", "folder", "large"])
    func replaced(_ kind: String) async throws {
        try await withFolder { folder async throws in
            let told = Told()
            let store = try ArtifactStore(folder: folder + "/artifacts") { told.add($0) }
            let digest = try await store.add([1, 2, 3])
            try await settle()
            #expect(try await store.open(digest) != nil)
            let path = "\(folder)/artifacts/\(digest)"
            try FileManager.default.removeItem(atPath: path)
            if kind == "folder" {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            } else {
                try Data([9]).write(to: URL(fileURLWithPath: path))
            }
            // Without taking so much of the disk.
            if kind == "large" { #expect(truncate(path, ArtifactStore.largestInBytes + 1) == 0) }
            await #expect(throws: Problem.self) { try await store.open(digest) }
            #expect(told.quarantined == [.quarantined(digest: digest, .folder)])
            #expect(try names(in: folder + "/artifacts") == [])
            // What is too large, or no file, is not worth keeping.
            #expect(FileManager.default.fileExists(atPath: "\(folder)/quarantine/\(digest)-1") == (kind == "file"))
        }
    }

    @Test("twenty are kept, and the oldest go")
    func bound() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            var digests: [String] = []
            for byte in UInt8(0)..<23 {
                let digest = try await store.add([byte, 1, 2])
                try tamper("\(folder)/artifacts/\(digest)")
                await #expect(throws: Problem.self) { try await store.open(digest) }
                digests.append(digest)
            }
            let wanted = digests.enumerated().dropFirst(3).map { "\($0.element)-\($0.offset + 1)" }
            #expect(try Set(names(in: folder + "/quarantine")) == Set(wanted))
            #expect(store.quarantined == [.folder: 23])
        }
    }

    @Test("many that ask at once for a tampered file are all refused, and it is told once")
    func atOnce() async throws {
        try await withFolder { folder async throws in
            let told = Told()
            let store = try ArtifactStore(folder: folder + "/artifacts") { told.add($0) }
            let digest = try await store.add([1, 2, 3])
            try tamper("\(folder)/artifacts/\(digest)")
            let refused = await withTaskGroup(of: Bool.self) { group in
                for _ in 1...8 { group.addTask { (try? await store.open(digest)) == nil } }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(refused == 8)
            #expect(told.quarantined.count == 1)
        }
    }

    @Test("in a folder nothing is ever let go but what nothing uses")
    func kept() async throws {
        try await withFolder { folder async throws in
            let store = try ArtifactStore(folder: folder + "/artifacts")
            var digests: [String] = []
            for byte in UInt8(0)..<4 { digests.append(try await store.add([UInt8](repeating: byte, count: 100_000))) }
            #expect(try names(in: folder + "/artifacts") == digests.sorted())
            #expect(store.settled == [])
            try age("\(folder)/artifacts/\(digests[2])", bySeconds: 3700)
            #expect(store.settled == [digests[2]])
            await store.moveToBucket()
            #expect(try names(in: folder) == ["artifacts"])
        }
    }
}
