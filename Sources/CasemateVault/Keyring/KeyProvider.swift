import CasemateModel

/// Where the key-encryption key is: a file, a key service, a security module. It wraps data keys, and never sees a secret.
public protocol KeyProvider: Sendable {
    /// What its keys' ids begin with, before the colon.
    var scheme: String { get }
    /// For people: where the key is, without a credential.
    var place: String { get }
    /// The id of the key that data keys are wrapped with now.
    func activeKey() async throws(KeyProviderError) -> String
    /// - Parameters:
    ///   - key: 32 bytes.
    ///   - context: must be the same for unwrapping.
    func wrap(_ key: [UInt8], context: [UInt8]) async throws(KeyProviderError) -> WrappedKey
    func unwrap(_ wrapped: WrappedKey, context: [UInt8]) async throws(KeyProviderError) -> [UInt8]
    /// As `unwrap`, for a provider that has the key at hand; nil for one that must ask.
    func unwrapNow(_ wrapped: WrappedKey, context: [UInt8]) throws(KeyProviderError) -> [UInt8]?
    /// Whether it has one of these keys; nil where that can't be said at once.
    func hasOne(of keys: Set<String>) -> Bool?
    /// Begins a new key, where the provider makes them; what older ones wrapped still unwraps.
    /// - Returns: the id of the key that data keys are wrapped with from now on.
    func rotate() async throws(KeyProviderError) -> String
    /// Destroys the provider's keys but these, for good.
    /// - Returns: how many; nil where that is not the provider's to do.
    func destroy(allBut kept: Set<String>) async throws(KeyProviderError) -> Int?
    /// Ends what is open, before the process ends.
    func close() async
}

extension KeyProvider {
    public func hasOne(of keys: Set<String>) -> Bool? { nil }
    public func close() async {}
    public func unwrapNow(_ wrapped: WrappedKey, context: [UInt8]) throws(KeyProviderError) -> [UInt8]? { nil }
}

public enum KeyProviderError: Error, Equatable, CustomStringConvertible {
    /// It was not wrapped by this key with this context, or was changed since.
    case wrongKey
    /// The provider answers, and does not have that key: why, for the operator.
    case unknownKey(String)
    /// The key can't be had now, and why: what the operator can do. No secret in it.
    case unavailable(String)

    public var description: String {
        switch self {
        case .wrongKey: "what is wrapped does not open with this key"
        case .unknownKey(let why), .unavailable(let why): why
        }
    }
}
