import Testing

@testable import CasemateAWS

/// One moto server for a suite.
struct MotoTrait: SuiteTrait, TestScoping {
    let arguments: [String]

    func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        try await withPython("moto_runner", arguments) { server in
            try await Moto.$current.withValue(server) { try await function() }
        }
    }
}

extension Trait where Self == MotoTrait {
    static var moto: MotoTrait { MotoTrait(arguments: []) }
    /// With users whose rights and signatures are checked.
    static var motoWithAuth: MotoTrait { MotoTrait(arguments: ["--auth"]) }
}

enum Moto {
    @TaskLocal static var current: PythonServer?

    static var server: PythonServer { current! }

    static var endpoint: Endpoint { get throws { try Endpoint("http://127.0.0.1:\(server.port)") } }
}

extension Region {
    static let test = Region("eu-west-1")!
}

extension CredentialSource {
    static func test(_ key: String = "AKIDTEST", _ secret: String = "testing/Secret+of=tests", token: String? = nil) -> CredentialSource {
        .fixed(try! AWSCredentials(accessKey: Array(key.utf8), secretKey: Array(secret.utf8), sessionToken: token.map { Array($0.utf8) }))
    }
}

/// The error that `body` throws, if it is one of AWS's.
func awsError(_ body: () async throws -> some Any) async -> AWSError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? AWSError
    }
}

extension AWSError {
    var code: String? { if case .refused(let code, _) = self { code } else { nil } }
    var isUnavailable: Bool { if case .unavailable = self { true } else { false } }
    var isMalformed: Bool { if case .malformed = self { true } else { false } }
}
