/// A data key as it is stored: wrapped by a key-encryption key.
public struct WrappedKey: Hashable, Sendable {
    /// Which key that was: the provider's scheme, a colon, and what the provider calls it. Empty for what was wrapped before keys had names.
    public var keyId: String
    public var bytes: [UInt8]

    public init(keyId: String, bytes: [UInt8]) {
        self.keyId = keyId
        self.bytes = bytes
    }
}
