import CasemateLinux
import Foundation
import Synchronization

@testable import CasemateStore

/// A bucket in memory, which does what a test wants.
final class FakeBucket: ArtifactBucket {
    struct State {
        var objects: [String: [UInt8]] = [:]
        var owner: String?
        var gets = 0
        var puts = 0
        /// Of those, the ones that were to write over what is there.
        var replacements = 0
        var isDown = false
        var doesNotTellOwner = false
        /// More than any archive may have comes for whatever is asked.
        var isEndless = false
        var delay = Duration.zero
    }

    private let state = Mutex(State())

    var now: State { state.withLock { $0 } }

    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }

    func claim(for owner: String) async throws(ArtifactBucketError) -> String {
        let found = try asked()
        guard let other = found.owner else {
            change { $0.owner = owner }
            return owner
        }
        guard !found.doesNotTellOwner else { throw .refused("the owner is not told") }
        return other
    }

    func put(_ digest: String, from file: Descriptor, sizeInBytes: Int, replacing: Bool) async throws(ArtifactBucketError) -> Bool {
        let found = try asked()
        change { state in
            state.puts += 1
            if replacing { state.replacements += 1 }
        }
        guard replacing || found.objects[digest] == nil else { return false }
        var bytes = [UInt8](repeating: 0, count: sizeInBytes)
        let count = pread(file.raw, &bytes, sizeInBytes, 0)
        file.staysOpen()
        guard count == sizeInBytes else { throw .unavailable("the file is shorter") }
        let body = bytes
        change { $0.objects[digest] = body }
        return true
    }

    func get(_ digest: String, into sink: ArtifactSink) async throws(ArtifactBucketError) {
        change { $0.gets += 1 }
        let found = try asked()
        try? await Task.sleep(for: found.delay)
        let object = found.isEndless ? [UInt8](repeating: 7, count: 1 << 20) : found.objects[digest]
        guard let object else { throw .missing }
        guard sink.begin() else { throw .unavailable("the sink is not ready") }
        repeat {
            for start in stride(from: 0, to: object.count, by: 65_536) {
                let isTaken = object[start..<min(start + 65_536, object.count)].withUnsafeBytes { sink.append($0) }
                guard isTaken else { throw .unavailable("the sink is full") }
            }
        } while found.isEndless
    }

    func remove(_ digest: String) async throws(ArtifactBucketError) {
        _ = try asked()
        change { $0.objects[digest] = nil }
    }

    private func asked() throws(ArtifactBucketError) -> State {
        let found = now
        guard !found.isDown else { throw .unavailable("bucket.example does not answer") }
        return found
    }
}

/// What a store had to tell.
final class Told: Sendable {
    private let notices: Mutex<[ArtifactNotice]> = Mutex([])

    func add(_ notice: ArtifactNotice) { notices.withLock { $0.append(notice) } }

    var quarantined: [ArtifactNotice] {
        notices.withLock { notices in
            notices.filter { if case .quarantined = $0 { true } else { false } }
        }
    }

    var failures: Int { notices.withLock { $0.count } - quarantined.count }
}

extension ArtifactStore {
    /// - Returns: the digest.
    func add(_ bytes: [UInt8], by subject: String? = nil) async throws -> String {
        let upload = try upload(by: subject)
        try upload.write(bytes)
        return try await upload.finish()
    }

    func contents(of digest: String) async throws -> [UInt8]? {
        guard let file = try await open(digest) else { return nil }
        defer { file.staysOpen() }
        return try Files.read(file.raw, limit: 1 << 24, naming: "an archive")
    }
}

/// Long enough for the kernel's clock of files to go on.
func settle() async throws { try await Task.sleep(for: .milliseconds(50)) }

/// Writes over a file's first byte, and puts the time of its modification back.
func tamper(_ path: String) throws {
    let before = try FileManager.default.attributesOfItem(atPath: path)
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try file.write(contentsOf: Data([0xFF]))
    try file.close()
    try FileManager.default.setAttributes([.modificationDate: before[.modificationDate]!], ofItemAtPath: path)
}

func age(_ path: String, bySeconds seconds: Double) throws {
    try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -seconds)], ofItemAtPath: path)
}
