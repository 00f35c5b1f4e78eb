/// An access key, its secret, and a session token when they are temporary ones. They can't be printed, dumped or encoded by accident.
///
/// The secret and the token are overwritten when the last copy goes. What they were read from is not ours: an environment stays in the
/// process, and libcurl frees its own copies as they are.
public struct AWSCredentials: Sendable {
    let accessKey: SensitiveBytes
    let secretKey: SensitiveBytes
    let sessionToken: SensitiveBytes?

    /// Each is visible ASCII: an access key of 128 characters at most without a colon, a secret of 256, a token of 16384.
    /// - Throws: which one is not, never its text.
    public init(accessKey: [UInt8], secretKey: [UInt8], sessionToken: [UInt8]? = nil) throws(CredentialError) {
        try self.init(accessKey: accessKey[...], secretKey: secretKey[...], sessionToken: sessionToken?[...])
    }

    /// Slices are copied straight into memory that will be overwritten.
    init(accessKey: ArraySlice<UInt8>, secretKey: ArraySlice<UInt8>, sessionToken: ArraySlice<UInt8>?) throws(CredentialError) {
        func isText(_ bytes: ArraySlice<UInt8>, atMost most: Int) -> Bool {
            (1...most).contains(bytes.count) && bytes.allSatisfy(Characters.isVisible)
        }
        guard isText(accessKey, atMost: 128), !accessKey.contains(where: { ":/,=".utf8.contains($0) }) else {
            throw .invalid(Field.accessKey)
        }
        guard isText(secretKey, atMost: 256) else { throw .invalid(Field.secretKey) }
        if let sessionToken, !isText(sessionToken, atMost: 16_384) { throw .invalid(Field.sessionToken) }
        self.accessKey = SensitiveBytes(accessKey)
        self.secretKey = SensitiveBytes(secretKey)
        self.sessionToken = sessionToken.map { SensitiveBytes($0) }
    }

    /// From AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; one that is empty is as if missing.
    public init(environment: [String: String]) throws(CredentialError) {
        func value(_ field: Field) -> [UInt8]? {
            environment[field.rawValue.uppercased()].flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        }
        guard let accessKey = value(.accessKey) else { throw .missing(.accessKey, profile: nil) }
        guard let secretKey = value(.secretKey) else { throw .missing(.secretKey, profile: nil) }
        try self.init(accessKey: accessKey, secretKey: secretKey, sessionToken: value(.sessionToken))
    }

    /// As a shared credentials file spells it; the environment in capitals.
    public enum Field: String, CaseIterable, Sendable {
        case accessKey = "aws_access_key_id"
        case secretKey = "aws_secret_access_key"
        case sessionToken = "aws_session_token"
    }
}

extension AWSCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "<redacted>" }
    public var debugDescription: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
