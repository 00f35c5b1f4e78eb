import CasemateModel

/// Wraps data keys with an AES-256 key that never leaves an HSM (PKCS#11 v2.40).
///
/// `wrap` → the newest key with the address's label. `unwrap` → the key that wrapped, for as long as it is in the token. `rotate` → a new
/// newest key; what older ones wrapped is to be wrapped again by the caller, who then lets them be destroyed.
///
/// Calls wait for each other and can't be cancelled: a library that hangs holds up all of them.
public final class PKCS11KeyProvider: KeyProvider {
    /// What its keys' ids begin with, before the colon.
    public let scheme = "pkcs11"
    /// For people: the token and the label, `pkcs11:token=casemate;object=kek`. Names no file.
    public let place: String
    private let token: PKCS11Token
    private let mayCreate: Bool

    /// - Parameters:
    ///   - text: `pkcs11:token=…;object=…?module-path=…&pin-source=…` (RFC 7512). The token is not looked for until it is used.
    ///   - mayCreate: whether the first key is made when the token has none.
    /// - Throws: `PKCS11AddressError` with all that is wrong.
    public init(_ text: String, mayCreate: Bool = false) throws(PKCS11AddressError) {
        self.mayCreate = mayCreate
        let address = try PKCS11Address(text)
        place = address.place
        token = PKCS11Token(address)
    }

    /// Seals a data key under the newest key (AES-256-GCM, 96-bit random IV made here, AAD = `context`).
    ///
    /// `key` is the caller's to overwrite; only its address is given to the token.
    public func wrap(_ key: [UInt8], context: [UInt8]) async throws(KeyProviderError) -> WrappedKey {
        if mayCreate { _ = try await activeKey() }
        return try await token.seal(key, context: context, asked: .now)
    }

    /// - Returns: the data key, the caller's to overwrite.
    /// - Throws: `.wrongKey` when the bytes, the context or the key id are others than when it was wrapped, or the key is destroyed.
    public func unwrap(_ wrapped: WrappedKey, context: [UInt8]) async throws(KeyProviderError) -> [UInt8] {
        try await token.open(wrapped, context: context, asked: .now)
    }

    /// Makes a new key in the token, which wraps from now on, in all servers that use the token.
    /// - Returns: its id, as in `WrappedKey`.
    public func rotate() async throws(KeyProviderError) -> String {
        try await token.rotate(asked: .now).description
    }

    /// The id of the key that `wrap` uses now, which is the first where there was none and it may be made.
    public func activeKey() async throws(KeyProviderError) -> String { try await activeKey(mayCreate: mayCreate) }

    func activeKey(mayCreate: Bool) async throws(KeyProviderError) -> String {
        try await token.newestKey(mayCreate: mayCreate, asked: .now).description
    }

    /// Destroys the other keys with the address's label, for ever: what they wrapped is lost.
    /// - Parameter keep: ids, of other providers too. Where it names none at all, or of this provider only such as aren't in the token,
    ///   nothing is destroyed.
    /// - Returns: how many were destroyed.
    public func destroy(allBut keep: Set<String>) async throws(KeyProviderError) -> Int? {
        try await token.destroy(allBut: keep, asked: .now)
    }

    /// Logs out and ends the library's work, after the calls under way; a later call connects anew.
    ///
    /// To be awaited before the process ends: what a library does at `exit` while it is at work is anybody's guess (see `ExitGate`).
    public func close() async { await token.disconnect() }
}
