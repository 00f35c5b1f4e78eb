import Foundation
import Testing

@testable import CasemateAWS

@Suite("TLS and proxies")
struct TLSTests {
    private static let secret = "wJalr/XUtnF+EMI=K7MDENG"

    private func transport(_ server: PythonServer, authorities: Bool = true, proxy: Bool = false) -> CurlTransport {
        var settings = CurlTransport.Settings()
        if authorities { settings.authorities = server.facts["authority"] }
        if proxy { settings.proxy = "http://127.0.0.1:\(server.port)" }
        return CurlTransport(settings)
    }

    @Test("a server is trusted by the authorities given, and only by its own name")
    func trust() async throws {
        try await withPython("oracle", ["--tls", "127.0.0.1", "AKIDTEST:\(Self.secret)"]) { oracle in
            let credentials = CredentialSource.test("AKIDTEST", Self.secret)
            func error(_ host: String, _ transport: CurlTransport) async throws -> AWSError? {
                let kms = try KMS(
                    region: .test, endpoint: try Endpoint("https://\(host):\(oracle.port)"), credentials: credentials, transport: transport)
                return await awsError { try await kms.decrypt(ciphertext: [1]) }
            }
            #expect(try await error("127.0.0.1", transport(oracle)) == nil)
            for (host, transport) in [("localhost", transport(oracle)), ("127.0.0.1", transport(oracle, authorities: false))] {
                let error = try await error(host, transport)
                #expect(
                    error?.isUnavailable == true && error?.description.contains("certificate") == true,
                    "\(host) \(String(describing: error))")
            }
            var missing = CurlTransport.Settings()
            missing.authorities = "/nonexistent/authorities.pem"
            let error = try await error("127.0.0.1", CurlTransport(missing))
            #expect(error?.description.contains("trusted authorities") == true, "\(String(describing: error))")
        }
    }

    @Test("AWS's own hosts are reached through a proxy that is given, with the bucket in the host")
    func proxy() async throws {
        let hosts = ["kms.eu-west-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com", "secretsmanager.eu-west-1.amazonaws.com"]
        try await withPython("oracle", hosts.flatMap { ["--tls", $0] } + ["AKIDTEST:\(Self.secret)"]) { oracle in
            let credentials = CredentialSource.test("AKIDTEST", Self.secret)
            let transport = transport(oracle, proxy: true)
            let secrets = try SecretsManager(region: .test, credentials: credentials, transport: transport)
            #expect(try await secrets.value(id: "x", field: "host") == Array("secretsmanager.eu-west-1.amazonaws.com".utf8))
            let kms = try KMS(region: .test, credentials: credentials, transport: transport)
            #expect(try await kms.decrypt(ciphertext: [1]).plaintext == Array("p".utf8))
            let s3 = try S3(region: .test, credentials: credentials, transport: transport)
            struct Seen: Decodable { let seen: [String: String] }
            let got = try await s3.get(bucket: S3Bucket("plant")!, key: S3Key("a/b")!).body
            let seen = try JSONDecoder().decode(Seen.self, from: Data(got)).seen
            #expect(seen["host"] == "plant.s3.eu-west-1.amazonaws.com")
            #expect(seen["path"] == "/a/b")
            #expect(seen["connected"] == "plant.s3.eu-west-1.amazonaws.com:443")
            _ = try await s3.list(bucket: S3Bucket("plant")!)
            try await s3.put(bucket: S3Bucket("plant")!, key: S3Key("large")!, body: [UInt8](repeating: 7, count: 2 << 20))
        }
    }

    @Test("a server that hangs up in the middle of a body ends neither the process nor the transport")
    func brokenPipe() async throws {
        try await withPython("oracle", ["--tls", "127.0.0.1", "AKIDTEST:\(Self.secret)"]) { oracle in
            let s3 = try S3(
                region: .test, endpoint: try Endpoint("https://127.0.0.1:\(oracle.port)"), credentials: .test("AKIDTEST", Self.secret),
                transport: transport(oracle))
            let bucket = S3Bucket("plant")!
            let body = [UInt8](repeating: 1, count: 8 << 20)
            for _ in 1...2 {
                let error = await awsError { try await s3.put(bucket: bucket, key: S3Key("hang-up")!, body: body, ifNoneMatch: "*") }
                #expect(error?.isUnavailable == true, "\(String(describing: error))")
                try await s3.put(bucket: bucket, key: S3Key("k")!, body: body)
            }
        }
    }

    #if compiler(>=6.2)
        @Test("a proxy of the environment is not used")
        func environment() async {
            await #expect(processExitsWith: .success) {
                for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] { setenv(name, "http://127.0.0.1:1", 1) }
                unsetenv("no_proxy")
                unsetenv("NO_PROXY")
                let stub = try StubServer { _ in [.send(http("200 OK", #"{"SecretString":"x"}"#))] }
                let secrets = try SecretsManager(region: .test, endpoint: stub.endpoint, credentials: .test())
                #expect(try await secrets.value(id: "x") == Array("x".utf8))
                stub.stop()
            }
        }
    #endif
}
