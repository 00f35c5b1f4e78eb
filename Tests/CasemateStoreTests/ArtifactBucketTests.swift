import CasemateLinux
import CasemateModel
import Foundation
import Synchronization
import Testing

@testable import CasemateStore

@Suite("Archives in a bucket")
struct ArtifactBucketTests {
    /// A server with a bucket, in a folder of its own.
    private struct Place: Sendable {
        let folder: String
        let bucket = FakeBucket()
        let told = Told()
        let clock = Clock()

        func store(owner: String = "server-1", place: String = "", cacheInBytes: Int = 1 << 30) throws -> ArtifactStore {
            try ArtifactStore(
                folder: folder + "/artifacts", bucket: bucket, place: place, owner: owner, cacheInBytes: cacheInBytes,
                clock: { [clock] in clock.now },
                tell: { [told] in told.add($0) })
        }

        var cached: [String] { get throws { try names(in: folder + "/artifacts") } }
        var quarantine: [String] { (try? names(in: folder + "/quarantine")) ?? [] }

        func uncache(_ digest: String) throws { try FileManager.default.removeItem(atPath: "\(folder)/artifacts/\(digest)") }
    }

    private final class Clock: Sendable {
        private let time = Mutex(ContinuousClock.now)
        var now: ContinuousClock.Instant { time.withLock { $0 } }
        func advance(by duration: Duration) { time.withLock { $0 += duration } }
    }

    private func withPlace(_ body: (Place) async throws -> Void) async throws {
        try await withFolder { try await body(Place(folder: $0)) }
    }

    private func unavailable(_ body: () async throws -> some Any, sourceLocation: SourceLocation = #_sourceLocation) async {
        let problem = await #expect(throws: Problem.self, sourceLocation: sourceLocation) { _ = try await body() }
        #expect(problem?.code == .unavailable, sourceLocation: sourceLocation)
        #expect(problem?.detail.contains("bucket") == false, "says where it is", sourceLocation: sourceLocation)
    }

    @Test("an upload lies in the bucket and in the cache, and is removed from both")
    func there() async throws {
        try await withPlace { place in
            let store = try place.store()
            try await store.begin()
            let digest = try await store.add([1, 2, 3], by: "key:x")
            #expect(place.bucket.now.objects == [digest: [1, 2, 3]])
            #expect(try place.cached == [digest])
            #expect(try await store.contents(of: digest) == [1, 2, 3])
            #expect(place.bucket.now.gets == 0)
            #expect(store.isUploaded(digest, by: "key:x"))
            #expect(await store.remove(digest))
            #expect(place.bucket.now.objects.isEmpty)
            #expect(try place.cached == [])
            #expect(try await store.open(digest) == nil)
            #expect(try names(in: place.folder + "/artifacts.put") == [".place"])
        }
    }

    @Test("what the bucket does not take is not stored, here or there, and nobody's")
    func notTaken() async throws {
        try await withPlace { place in
            let store = try place.store()
            try await store.begin()
            place.bucket.change { $0.isDown = true }
            await unavailable { try await store.add([1, 2, 3], by: "key:x") }
            #expect(try place.cached == [])
            #expect(place.told.failures == 1)
            place.bucket.change { $0.isDown = false }
            let digest = try await store.add([1, 2, 3], by: "key:x")
            #expect(place.bucket.now.objects.keys.sorted() == [digest])
        }
    }

    @Test("nothing is stored where it can't be recorded")
    func notRecorded() async throws {
        try await withPlace { place in
            let store = try place.store()
            let upload = try store.upload(by: "key:x")
            try upload.write([1])
            await #expect(throws: Problem.self) { try await upload.finish { _ in throw Problem.auditUnavailable } }
            #expect(place.bucket.now.objects.isEmpty)
            #expect(try place.cached.filter(ArtifactStore.isDigest) == [])
        }
    }

    @Test("one that is there already is read: the same is left, something else is set aside and written over")
    func thereAlready() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            #expect(try await store.add([1, 2, 3]) == digest)
            #expect(place.bucket.now.puts == 2 && place.bucket.now.replacements == 0 && place.bucket.now.gets == 1)
            #expect(place.told.quarantined == [])

            place.bucket.change { $0.objects[digest] = [9] }
            #expect(try await store.add([1, 2, 3]) == digest)
            #expect(place.bucket.now.objects == [digest: [1, 2, 3]])
            #expect(place.bucket.now.replacements == 1)
            #expect(place.told.quarantined == [.quarantined(digest: digest, .bucket)])
            #expect(try contents("\(place.folder)/quarantine/\(digest)-1") == [9])
            #expect(try place.cached == [digest])
        }
    }

    @Test("what is not cached is fetched, once for all who ask at the same time, each with a place of their own in it")
    func shared() async throws {
        try await withPlace { place in
            let store = try place.store()
            let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
            let digest = try await store.add(bytes)
            try place.uncache(digest)
            place.bucket.change { $0.delay = .milliseconds(100) }
            let found = try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
                for _ in 1...8 { group.addTask { try await store.contents(of: digest) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(found.allSatisfy { $0 == bytes } && found.count == 8)
            #expect(place.bucket.now.gets == 1)
            #expect(try place.cached == [digest])
        }
    }

    @Test("whoever opens a fetched archive can't write it")
    func readOnly() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            try place.uncache(digest)
            let file = try #require(try await store.open(digest))
            #expect(write(file.raw, "x", 1) == -1)
            file.staysOpen()
        }
    }

    @Test("one that is in neither is none; while the bucket does not answer what is cached can be had")
    func neither() async throws {
        try await withPlace { place in
            let store = try place.store()
            #expect(try await store.open(String(repeating: "a", count: 64)) == nil)
            let digest = try await store.add([1])
            let away = try await store.add([2])
            try place.uncache(away)
            place.bucket.change { $0.isDown = true }
            #expect(try await store.contents(of: digest) == [1])
            await unavailable { try await store.open(away) }
            #expect(place.told.quarantined == [])
            place.bucket.change { $0.isDown = false }
            #expect(try await store.contents(of: away) == [2])
        }
    }

    @Test("a tampered object is set aside, told once, and not asked for again for five minutes; others go on")
    func tamperedObject() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            let other = try await store.add([4])
            for each in [digest, other] { try place.uncache(each) }
            place.bucket.change { $0.objects[digest] = [1, 2, 4] }
            for _ in 1...3 { await unavailable { try await store.open(digest) } }
            #expect(place.bucket.now.gets == 1)
            #expect(place.told.quarantined == [.quarantined(digest: digest, .bucket)])
            #expect(store.quarantined == [.bucket: 1])
            #expect(place.quarantine == ["\(digest)-1"])
            #expect(try await store.contents(of: other) == [4])
            #expect(try place.cached == [other])

            place.bucket.change { $0.objects[digest] = [1, 2, 3] }
            place.clock.advance(by: .seconds(299))
            await unavailable { try await store.open(digest) }
            place.clock.advance(by: .seconds(2))
            #expect(try await store.contents(of: digest) == [1, 2, 3])
            #expect(place.told.quarantined.count == 1)
        }
    }

    @Test("a tampered object is written over by the next upload of its archive, which can be had at once")
    func healed() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            try place.uncache(digest)
            place.bucket.change { $0.objects[digest] = [] }
            await unavailable { try await store.open(digest) }
            #expect(try await store.add([1, 2, 3]) == digest)
            #expect(place.bucket.now.objects[digest] == [1, 2, 3])
            #expect(place.bucket.now.gets == 1)
            try place.uncache(digest)
            #expect(try await store.contents(of: digest) == [1, 2, 3])
            #expect(place.told.quarantined.count == 1)
        }
    }

    @Test("an object without an end is given up at the largest archive's size, told, and not kept")
    func endless() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = String(repeating: "b", count: 64)
            place.bucket.change { $0.isEndless = true }
            await unavailable { try await store.open(digest) }
            #expect(place.told.quarantined == [.quarantined(digest: digest, .bucket)])
            #expect(place.quarantine == [])
            #expect(try place.cached == [])
        }
    }

    @Test("a tampered copy is set aside, and the bucket's is taken")
    func tamperedCopy() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            try tamper("\(place.folder)/artifacts/\(digest)")
            #expect(try await store.contents(of: digest) == [1, 2, 3])
            #expect(place.told.quarantined == [.quarantined(digest: digest, .cache)])
            #expect(try contents("\(place.folder)/quarantine/\(digest)-1") == [0xFF, 2, 3])
            #expect(try contents("\(place.folder)/artifacts/\(digest)") == [1, 2, 3])
            #expect(place.bucket.now.gets == 1)
        }
    }

    @Test("beyond its size the cache lets go of what was used longest ago; what is open stays readable, and the bucket has the rest")
    func eviction() async throws {
        try await withPlace { place in
            let store = try place.store(cacheInBytes: 250)
            var digests: [String] = []
            for byte in UInt8(1)...2 { digests.append(try await store.add([UInt8](repeating: byte, count: 100))) }
            let open = try #require(try await store.open(digests[1]))
            #expect(try await store.open(digests[0]) != nil)
            digests.append(try await store.add([UInt8](repeating: 3, count: 100)))
            #expect(try place.cached == [digests[0], digests[2]].sorted())
            #expect(try Files.read(open.raw, limit: 1000, naming: "it") == [UInt8](repeating: 2, count: 100))
            open.staysOpen()
            digests.append(try await store.add([UInt8](repeating: 4, count: 1000)))
            #expect(try place.cached == [digests[3]])
            for (digest, byte) in zip(digests, UInt8(1)...4) { #expect(try await store.contents(of: digest)?.first == byte) }
        }
    }

    @Test("after a restart what came first goes first")
    func evictionAfterRestart() async throws {
        try await withPlace { place in
            var digests: [String] = []
            do {
                let store = try place.store()
                for byte in UInt8(1)...3 { digests.append(try await store.add([UInt8](repeating: byte, count: 100))) }
            }
            for (digest, seconds) in zip(digests, [10.0, 30, 20]) { try age("\(place.folder)/artifacts/\(digest)", bySeconds: seconds) }
            let store = try place.store(cacheInBytes: 350)
            digests.append(try await store.add([UInt8](repeating: 4, count: 100)))
            #expect(try place.cached == [digests[0], digests[2], digests[3]].sorted())
        }
    }

    @Test("what lay in the folder before there was a bucket is put there, and stays until it is")
    func moved() async throws {
        try await withPlace { place in
            let digest = try await ArtifactStore(folder: place.folder + "/artifacts").add([UInt8](repeating: 1, count: 100))
            let store = try place.store(cacheInBytes: 50)
            place.bucket.change { $0.isDown = true }
            await store.moveToBucket()
            #expect(try place.cached == [digest])
            place.bucket.change { $0.isDown = false }
            let other = try await store.add([UInt8](repeating: 2, count: 100))
            #expect(try place.cached == [digest, other].sorted(), "the only copy is let go")
            await store.moveToBucket()
            #expect(Set(place.bucket.now.objects.keys) == [digest, other])
            #expect(try await store.contents(of: digest)?.count == 100)
            let puts = place.bucket.now.puts
            await store.moveToBucket()
            #expect(place.bucket.now.puts == puts)
        }
    }

    @Test("what one bucket has another has not: nothing goes until it is there")
    func anotherPlace() async throws {
        try await withPlace { place in
            let digest = try await place.store(place: "one").add([UInt8](repeating: 1, count: 100))
            // As empty as another one.
            place.bucket.change { $0.objects = [:] }
            let store = try place.store(place: "another", cacheInBytes: 50)
            _ = try await store.add([UInt8](repeating: 2, count: 100))
            #expect(try place.cached.contains(digest), "the only copy is let go")
            await store.moveToBucket()
            #expect(place.bucket.now.objects[digest] != nil)
            #expect(try await store.contents(of: digest)?.count == 100)
        }
    }

    @Test("what is removed is asked about when its turn has come")
    func stillUnused() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1, 2, 3])
            #expect(await store.remove(digest, if: { false }))
            #expect(try await store.contents(of: digest) == [1, 2, 3])
            #expect(place.bucket.now.objects[digest] != nil)
            #expect(!store.isSettled(digest))
        }
    }

    @Test("a place with another owner is not taken, nor one that does not tell")
    func owner() async throws {
        try await withPlace { place in
            try await place.store().begin()
            #expect(place.bucket.now.owner == "server-1")
            try await place.store().begin()
            await #expect(throws: ArtifactBucketError.taken) { try await place.store(owner: "server-2").begin() }
            place.bucket.change { $0.doesNotTellOwner = true }
            await #expect(throws: ArtifactBucketError.refused("the owner is not told")) { try await place.store().begin() }
        }
    }

    @Test("a bucket that does not answer at the start is asked before anything is changed there")
    func ownerLater() async throws {
        try await withPlace { place in
            place.bucket.change { $0.isDown = true }
            let (store, rival) = (try place.store(), try place.store(owner: "server-2"))
            try await store.begin()
            try await rival.begin()
            #expect(place.told.failures == 2)
            await unavailable { try await store.add([1]) }
            place.bucket.change { $0.isDown = false }
            let digest = try await store.add([1])
            #expect(place.bucket.now.owner == "server-1")
            await unavailable { try await rival.add([2]) }
            #expect(await rival.remove(digest) == false)
            #expect(place.bucket.now.objects == [digest: [1]])
        }
    }

    @Test("what could not be removed is removed later, and what was uploaded and never used, too")
    func removedLater() async throws {
        try await withPlace { place in
            let store = try place.store()
            let digest = try await store.add([1])
            let young = try await store.add([2])
            place.bucket.change { $0.isDown = true }
            #expect(await store.remove(digest) == false)
            #expect(try place.cached == [young])
            #expect(store.settled == [])
            for name in try names(in: place.folder + "/artifacts.put") where name != young {
                try age("\(place.folder)/artifacts.put/\(name)", bySeconds: 3700)
            }
            // The next server of the same data knows it, too.
            let next = try place.store()
            #expect(next.settled == [digest])
            place.bucket.change { $0.isDown = false }
            #expect(await next.remove(digest))
            #expect(next.settled == [])
            #expect(place.bucket.now.objects.keys.sorted() == [young])
        }
    }

    @Test("storing and removing the same archive at once leaves it in both places or in the cache alone, never noted where it is not")
    func together() async throws {
        try await withPlace { place in
            let store = try place.store()
            for _ in 1...20 {
                let digest = try await store.add([1])
                async let removed = store.remove(digest)
                async let added = store.add([1])
                _ = try await (removed, added)
                let isNoted = FileManager.default.fileExists(atPath: "\(place.folder)/artifacts.put/\(digest)")
                #expect(isNoted == (place.bucket.now.objects[digest] != nil))
                #expect(try await store.contents(of: digest) ?? [1] == [1])
            }
        }
    }
}
