import Testing

@testable import CasemateAWS

@Suite("S3, against moto", .moto)
struct S3Tests {
    private let bucket = S3Bucket("casemate-test")!

    private func s3() throws -> S3 { try S3(region: .test, endpoint: Moto.endpoint, credentials: .test()) }

    @Test("an object comes back as it was stored", arguments: [0, 1, 70_000, 5 << 20])
    func roundTrip(_ count: Int) async throws {
        let s3 = try s3()
        let key = S3Key("round/trip-\(count).bin")!
        let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let stored = try await s3.put(bucket: bucket, key: key, body: body, contentType: "text/plain")
        let got = try await s3.get(bucket: bucket, key: key)
        #expect(got.body == body)
        #expect(got.info.etag == stored.etag && got.info.contentType == "text/plain")
        let head = try await s3.head(bucket: bucket, key: key)
        #expect(head.sizeInBytes == count && head.etag == stored.etag)
    }

    @Test("an object that is not there, a bucket that is not there, and one that is too large")
    func refused() async throws {
        let s3 = try s3()
        let none = S3Key("none")!
        #expect(await awsError { try await s3.get(bucket: bucket, key: none) } == .refused(code: "NoSuchKey", status: 404))
        #expect(await awsError { try await s3.head(bucket: bucket, key: none) } == .refused(code: "HTTP404", status: 404))
        let elsewhere = S3Bucket("casemate-none")!
        #expect(await awsError { try await s3.put(bucket: elsewhere, key: none, body: []) } == .refused(code: "NoSuchBucket", status: 404))
        let large = S3Key("large")!
        try await s3.put(bucket: bucket, key: large, body: [UInt8](repeating: 0, count: 100_000))
        #expect(try await s3.get(bucket: bucket, key: large, most: 100_000).body.count == 100_000)
        #expect(await awsError { try await s3.get(bucket: bucket, key: large, most: 99_999) }?.isMalformed == true)
    }

    @Test("an object is stored once where that is asked for")
    func once() async throws {
        let s3 = try s3()
        let key = S3Key("once")!
        try await s3.put(bucket: bucket, key: key, body: [1], ifNoneMatch: "*")
        let error = await awsError { try await s3.put(bucket: bucket, key: key, body: [2], ifNoneMatch: "*") }
        #expect(error == .refused(code: "PreconditionFailed", status: 412))
        #expect(try await s3.get(bucket: bucket, key: key).body == [1])
    }

    @Test("a list goes page by page, with prefixes, and tells what it skips")
    func list() async throws {
        let s3 = try s3()
        let names = (1...7).map { "list/\($0)" }
        for name in names { try await s3.put(bucket: bucket, key: S3Key(name)!, body: Array(name.utf8)) }
        var found: [String] = []
        var token: String?
        var pages = 0
        repeat {
            let page = try await s3.list(bucket: bucket, prefix: "list/", after: token, most: 3)
            found += page.entries.map(\.key.text)
            #expect(page.entries.allSatisfy { $0.sizeInBytes == 6 } && page.skipped == 0)
            token = page.continuation
            pages += 1
        } while token != nil
        #expect(found == names)
        #expect(pages == 3)
        #expect(try await s3.list(bucket: bucket, prefix: "nothing/").entries.isEmpty)
    }
}
