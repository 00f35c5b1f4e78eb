import Foundation
import Testing

@testable import CasemateAWS

/// What botocore says of our signatures.
@Suite("Signatures")
struct SigningTests {
    private static let secret = "wJalr/XUtnF+EMI=K7MDENG"
    private static let token = "IQoJb3JpZ2luX2VjE//+==" + String(repeating: "aZ0/+=", count: 400)

    private struct Seen: Decodable { let seen: [String: String] }

    /// Runs `body` beside an oracle that knows one key without and one with a session token.
    private func withOracle(_ body: (Endpoint) async throws -> Void) async throws {
        try await withPython("oracle", ["AKIDPLAIN:\(Self.secret)", "AKIDTOKEN:\(Self.secret):\(Self.token)"]) { oracle in
            try await body(try Endpoint("http://127.0.0.1:\(oracle.port)"))
        }
    }

    private func seen(_ answer: Answer) throws -> [String: String] {
        try answer.body.withData { try JSONDecoder().decode(Seen.self, from: $0).seen }
    }

    @Test("KMS and Secrets Manager requests are signed, with and without a session token")
    func json() async throws {
        try await withOracle { endpoint in
            for source in [CredentialSource.test("AKIDPLAIN", Self.secret), .test("AKIDTOKEN", Self.secret, token: Self.token)] {
                let kms = try KMS(region: .test, endpoint: endpoint, credentials: source)
                let context = ["function": "plant/score", "ü \"&=": "\n"]
                #expect(try await kms.encrypt(keyId: "alias/x", plaintext: [0, 1, 255], context: context).ciphertext == Array("c".utf8))
                #expect(try await kms.decrypt(ciphertext: [1, 2]).plaintext == Array("p".utf8))
                _ = try await SecretsManager(region: .test, endpoint: endpoint, credentials: source).value(id: "a/b")
                // The oracle has one key only.
                let other = "arn:aws:kms:eu-west-1:123456789012:key/87654321-1234-1234-1234-123456789012"
                #expect(await awsError { try await kms.decrypt(ciphertext: [1], keyId: other) }?.isMalformed == true)
            }
        }
    }

    @Test("S3 requests are signed: every key we take, bodies with zeros, large, empty; conditions; lists")
    func s3() async throws {
        let bucket = S3Bucket("plant-1.x")!
        let keys = ["a", "a/b/c.tar.gz", "~user/-x_y.Z", "0", ".hidden/...", "a.b/..c", String(repeating: "k/", count: 511) + "kk"]
        try await withOracle { endpoint in
            let s3 = try S3(region: .test, endpoint: endpoint, credentials: .test("AKIDTOKEN", Self.secret, token: Self.token))
            for text in keys {
                let key = try #require(S3Key(text))
                for method in [SignedRequest.Method.get, .put, .post, .head] {
                    let body = method == .put ? SensitiveBytes(text.utf8) : nil
                    let answer = try await s3.client.send(try s3.request(method, bucket, key, body: body))
                    guard method != .head else { continue }
                    let seen = try seen(answer)
                    #expect(seen["path"] == "/plant-1.x/\(text)")
                    #expect(seen["method"] == method.rawValue)
                }
            }
            for count in [0, 1, 65_535, (1 << 20) + 1, 3 << 20] {
                let body = [UInt8](repeating: 0, count: count)
                #expect(try await s3.put(bucket: bucket, key: S3Key("zeros")!, body: body, contentType: "text/plain;  x=y").etag == "\"e\"")
                try await s3.put(bucket: bucket, key: S3Key("zeros")!, body: body, ifNoneMatch: "*")
            }
            let list = try await s3.list(bucket: bucket, prefix: "a b/ü&c=d+e*~()'", after: "1+/=2 3", most: 7)
            #expect(list.entries == [.init(key: S3Key("a/b")!, sizeInBytes: 3)])
            _ = try await s3.list(bucket: bucket)
        }
    }

    @Test("files and deletions are signed; what is not the bytes that were said is refused")
    func streamed() async throws {
        let bucket = S3Bucket("plant-1.x")!
        try await withOracle { endpoint in
            for source in [CredentialSource.test("AKIDPLAIN", Self.secret), .test("AKIDTOKEN", Self.secret, token: Self.token)] {
                let s3 = try S3(region: .test, endpoint: endpoint, credentials: source)
                let key = S3Key("a/b")!
                for count in [0, 1, 70_000, 3 << 20] {
                    try await withFile([UInt8](repeating: 7, count: count)) { file, hash in
                        for condition in [nil, "*"] {
                            try await s3.put(
                                bucket: bucket, key: key, file: file, sizeInBytes: count, sha256: hash, ifNoneMatch: condition)
                        }
                        let other = PayloadHash.of(SensitiveBytes([1, 2, 3]))
                        let error = await awsError {
                            try await s3.put(bucket: bucket, key: key, file: file, sizeInBytes: count, sha256: other)
                        }
                        #expect(error == .refused(code: "XAmzContentSHA256Mismatch", status: 403))
                    }
                }
                try await s3.delete(bucket: bucket, key: key)
                let sink = KeptObject()
                try await s3.get(bucket: bucket, key: key, most: 1 << 20, into: sink)
                #expect(try JSONDecoder().decode(Seen.self, from: Data(sink.bytes)).seen["method"] == "GET")
            }
        }
    }

    @Test("after a body on the same connection, a request without one is signed as such")
    func stale() async throws {
        try await withOracle { endpoint in
            let s3 = try S3(region: .test, endpoint: endpoint, credentials: .test("AKIDPLAIN", Self.secret))
            let key = S3Key("k")!
            var connections = ""
            for _ in 1...5 {
                try await s3.put(bucket: S3Bucket("abc")!, key: key, body: Array("body".utf8))
                let got = try await s3.get(bucket: S3Bucket("abc")!, key: key).body
                let seen = try JSONDecoder().decode(Seen.self, from: Data(got)).seen
                #expect(seen["length"] == "0")
                connections = seen["connections"] ?? ""
            }
            // Connections are kept, at most one for each thread.
            #expect(Int(connections) ?? 99 <= CurlTransport.width)
        }
    }

    @Test("the oracle does refuse: another secret, another token, another region's key in the signature")
    func refuses() async throws {
        try await withOracle { endpoint in
            for (source, code) in [
                (CredentialSource.test("AKIDPLAIN", "wrong"), "SignatureDoesNotMatch"),
                (.test("AKIDPLAIN", Self.secret, token: "unasked"), "WrongToken"),
                (.test("AKIDTOKEN", Self.secret), "WrongToken"), (.test("AKIDTOKEN", Self.secret, token: Self.token + "x"), "WrongToken"),
                (.test("AKIDELSE", Self.secret), "UnrecognizedClientException"),
            ] {
                let kms = try KMS(region: .test, endpoint: endpoint, credentials: source)
                let error = await awsError { try await kms.decrypt(ciphertext: [1]) }
                #expect(error == .refused(code: code, status: 403))
            }
        }
    }

    @Test("credentials that change in their file are used by the next request")
    func rotation() async throws {
        let path = URL.temporaryDirectory.appending(path: "casemate-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func write(_ key: String, _ token: String?) throws {
            let text =
                "[p]\naws_access_key_id=\(key)\naws_secret_access_key=\(Self.secret)\n\(token.map { "aws_session_token=\($0)" } ?? "")\n"
            try text.write(toFile: path + ".new", atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path + ".new")
            #expect(rename(path + ".new", path) == 0)
        }
        try await withOracle { endpoint in
            let secrets = try SecretsManager(region: .test, endpoint: endpoint, credentials: .file(path, profile: "p"))
            #expect(await awsError { try await secrets.value(id: "x") }?.isUnavailable == true)
            for (key, token) in [("AKIDPLAIN", nil), ("AKIDTOKEN", Self.token), ("AKIDPLAIN", nil)] {
                try write(key, token)
                #expect(try await secrets.value(id: "x", field: "key") == Array(key.utf8))
            }
        }
    }

    @Test("a header that could be signed otherwise than it is sent is not sent")
    func headers() async throws {
        let s3 = try S3(region: .test, endpoint: try Endpoint("http://127.0.0.1:1"), credentials: .test())
        for value in ["", " a", "a ", "a\r\nX: y", "ü", "a\tb", String(repeating: "a", count: 1025)] {
            let error = await awsError { try await s3.put(bucket: S3Bucket("abc")!, key: S3Key("k")!, body: [], contentType: value) }
            #expect(error?.isMalformed == true)
        }
        for one in SignedRequest.Header.allCases.map(\.rawValue) + ["host", "x-amz-date", "x-amz-security-token"] {
            let longer = SignedRequest.Header.allCases.map(\.rawValue).filter { $0 != one && $0.hasPrefix(one) }
            #expect(longer.isEmpty, "libcurl would sort \(one) behind \(longer)")
        }
    }
}
