import Foundation
import Synchronization
import Testing

@testable import CasemateAWS

/// Keeps an object as it comes.
final class KeptObject: ObjectSink {
    private struct State {
        var bytes: [UInt8] = []
        var attempts = 0
    }

    private let state = Mutex(State())
    private let most: Int

    /// - Parameter most: more is not taken.
    init(most: Int = .max) { self.most = most }

    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var attempts: Int { state.withLock { $0.attempts } }

    func begin() -> Bool {
        state.withLock { state in
            state.bytes = []
            state.attempts += 1
        }
        return true
    }

    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let more = Array(bytes)
        return state.withLock { state in
            guard more.count <= most - state.bytes.count else { return false }
            state.bytes += more
            return true
        }
    }
}

/// A file with these bytes, and their SHA-256. It has no name any more, and is not read from where it stands.
func withFile(_ bytes: [UInt8], _ body: (Int32, String) async throws -> Void) async throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let file = try #require(FileHandle(forReadingAtPath: path))
    try FileManager.default.removeItem(atPath: path)
    try file.seekToEnd()
    try await body(file.fileDescriptor, PayloadHash.of(SensitiveBytes(bytes)))
    try file.close()
}

@Suite("Objects that are not held in memory, against moto", .moto)
struct S3StreamTests {
    private let bucket = S3Bucket("casemate-test")!

    private func s3() throws -> S3 { try S3(region: .test, endpoint: Moto.endpoint, credentials: .test()) }

    @Test("an object comes back as the file was", arguments: [0, 1, 70_000, 5 << 20])
    func roundTrip(_ count: Int) async throws {
        let s3 = try s3()
        let key = S3Key("stream/\(count)")!
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await withFile(bytes) { file, hash in
            let stored = try await s3.put(bucket: bucket, key: key, file: file, sizeInBytes: count, sha256: hash, contentType: "text/plain")
            let sink = KeptObject()
            let info = try await s3.get(bucket: bucket, key: key, most: count, into: sink)
            #expect(sink.bytes == bytes && sink.attempts == 1)
            #expect(info.etag == stored.etag && info.contentType == "text/plain" && info.sizeInBytes == count)
            #expect(try await s3.get(bucket: bucket, key: key).body == bytes)
        }
    }

    @Test("the beginning of a file can be stored")
    func beginning() async throws {
        let s3 = try s3()
        let key = S3Key("stream/beginning")!
        try await withFile([1, 2, 3, 4]) { file, _ in
            let hash = PayloadHash.of(SensitiveBytes([1, 2]))
            try await s3.put(bucket: bucket, key: key, file: file, sizeInBytes: 2, sha256: hash)
            #expect(try await s3.get(bucket: bucket, key: key).body == [1, 2])
        }
    }

    @Test("an object is stored once where that is asked for, and written over where not")
    func once() async throws {
        let s3 = try s3()
        let key = S3Key("stream/once")!
        for (byte, condition, wanted) in [(UInt8(1), "*", UInt8(1)), (2, "*", 1), (3, nil, 3)] {
            try await withFile([byte]) { file, hash async throws in
                let error = await awsError {
                    try await s3.put(bucket: bucket, key: key, file: file, sizeInBytes: 1, sha256: hash, ifNoneMatch: condition)
                }
                #expect(error == (byte == 2 ? .refused(code: "PreconditionFailed", status: 412) : nil))
                #expect(try await s3.get(bucket: bucket, key: key).body == [wanted])
            }
        }
    }

    @Test("what is deleted is gone, and can be deleted again")
    func deletion() async throws {
        let s3 = try s3()
        let key = S3Key("stream/deleted")!
        try await s3.put(bucket: bucket, key: key, body: [1])
        for _ in 1...2 {
            try await s3.delete(bucket: bucket, key: key)
            #expect(await awsError { try await s3.get(bucket: bucket, key: key) } == .refused(code: "NoSuchKey", status: 404))
        }
    }

    @Test("of an object that is not there nothing comes, though the refusal has a text")
    func missing() async throws {
        let sink = KeptObject()
        let error = await awsError { try await s3().get(bucket: bucket, key: S3Key("stream/none")!, most: 100, into: sink) }
        #expect(error == .refused(code: "NoSuchKey", status: 404))
        #expect(sink.bytes == [])
    }

    @Test("one that is too large is an error, and so is one that is not taken; neither is asked for again")
    func tooMuch() async throws {
        let s3 = try s3()
        let key = S3Key("stream/large")!
        try await s3.put(bucket: bucket, key: key, body: [UInt8](repeating: 7, count: 100_000))
        let large = KeptObject()
        #expect(await awsError { try await s3.get(bucket: bucket, key: key, most: 99_999, into: large) }?.isMalformed == true)
        #expect(large.bytes.count < 100_000 && large.attempts == 1)
        let full = KeptObject(most: 50_000)
        #expect(await awsError { try await s3.get(bucket: bucket, key: key, most: .max, into: full) }?.isUnavailable == true)
        #expect(full.bytes.count <= 50_000 && full.attempts == 1)
        // That was nobody's fault there.
        let whole = KeptObject()
        try await s3.get(bucket: bucket, key: key, most: .max, into: whole)
        #expect(whole.bytes.count == 100_000)
    }

    @Test("a file that is shorter than it was said to be is not stored")
    func shorter() async throws {
        let s3 = try s3()
        let key = S3Key("stream/short")!
        try await withFile([1, 2, 3]) { file, hash in
            let error = await awsError { try await s3.put(bucket: bucket, key: key, file: file, sizeInBytes: 4, sha256: hash) }
            #expect(error?.isUnavailable == true)
        }
        #expect(await awsError { try await s3.get(bucket: bucket, key: key) } == .refused(code: "NoSuchKey", status: 404))
    }
}

@Suite("Objects that are not held in memory, where connections break")
struct S3StreamFailureTests {
    private let bucket = S3Bucket("abc")!
    private let key = S3Key("k")!

    private func s3(_ endpoint: Endpoint) throws -> S3 { try S3(region: .test, endpoint: endpoint, credentials: .test()) }

    @Test("an answer that breaks off is asked for again from its beginning")
    func brokenOff() async throws {
        let stub = try StubServer { request in
            request.number == 1
                ? [.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwrong".utf8)), .close] : [.send(http("200 OK", "0123456789"))]
        }
        defer { stub.stop() }
        let sink = KeptObject()
        try await s3(stub.endpoint).get(bucket: bucket, key: key, most: 100, into: sink)
        #expect(sink.bytes == Array("0123456789".utf8))
        #expect(sink.attempts == 2)
    }

    @Test("one that never comes whole is none")
    func neverWhole() async throws {
        let stub = try StubServer { _ in [.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".utf8)), .close] }
        defer { stub.stop() }
        let sink = KeptObject()
        #expect(await awsError { try await s3(stub.endpoint).get(bucket: bucket, key: key, most: 100, into: sink) }?.isUnavailable == true)
        #expect(stub.requests == 3 && sink.attempts == 3)
    }

    @Test("a refusal's text does not count as the object, whatever its length")
    func refusal() async throws {
        let text = "<Error><Code>AccessDenied</Code>\(String(repeating: "x", count: 5000))</Error>"
        let stub = try StubServer(always: String(decoding: http("403 No", text), as: UTF8.self))
        defer { stub.stop() }
        let sink = KeptObject()
        let error = await awsError { try await s3(stub.endpoint).get(bucket: bucket, key: key, most: 10_000, into: sink) }
        #expect(error == .refused(code: "AccessDenied", status: 403))
        #expect(sink.bytes == [])
    }

    @Test("a file is sent again from its beginning, also where it may be there already")
    func sentAgain() async throws {
        let stub = try StubServer { $0.number == 1 ? [.close] : [.send(http("200 OK", ""))] }
        defer { stub.stop() }
        try await withFile([1, 2, 3]) { file, hash in
            try await s3(stub.endpoint).put(
                bucket: bucket, key: key, file: file, sizeInBytes: 3, sha256: hash, ifNoneMatch: "*")
        }
        #expect(stub.requests == 2)
    }
}
