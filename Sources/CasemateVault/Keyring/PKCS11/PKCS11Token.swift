import CasemateModel
import CP11Kit
import Glibc

/// The token behind an address: connects when it is needed, and anew after it was lost.
///
/// All calls into the library are made on one thread, one at a time: neither sessions nor all libraries can be shared.
actor PKCS11Token {
    private let address: PKCS11Address
    private let thread = TokenThread()
    private var connection: PKCS11Connection?
    private var gate = LoginGate()
    /// The last attempt to connect, when it failed.
    private var failed: (at: ContinuousClock.Instant, error: any Error)?

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(_ address: PKCS11Address) { self.address = address }

    isolated deinit {
        connection = nil
        thread.stop()
    }

    /// Ends the session and the library's work; the next call connects anew.
    func disconnect() { connection = nil }

    /// The id of the key that wraps.
    func newestKey(mayCreate: Bool, asked: ContinuousClock.Instant) throws(KeyProviderError) -> TokenKeyId {
        try withConnection(asked) { connection, isFresh in
            try connection.refresh()
            if let key = connection.newest { return try usable(key).id }
            // One that has lost its keys is looked at with new eyes, before one is made in the wrong place.
            guard isFresh else { throw Lost() }
            guard mayCreate else { throw noKey }
            return try newKey(connection)
        }
    }

    func seal(_ plain: [UInt8], context: [UInt8], asked: ContinuousClock.Instant) throws(KeyProviderError) -> WrappedKey {
        try withConnection(asked) { connection, isFresh in
            // Each time: another server may have rotated, and may destroy the older ones.
            try connection.refresh()
            guard let key = connection.newest else {
                guard isFresh else { throw Lost() }
                throw noKey
            }
            return WrappedKey(keyId: try usable(key).id.description, bytes: try connection.seal(plain, with: key, context: context))
        }
    }

    func open(_ wrapped: WrappedKey, context: [UInt8], asked: ContinuousClock.Instant) throws(KeyProviderError) -> [UInt8] {
        guard let id = TokenKeyId(wrapped.keyId) else { throw .wrongKey }
        return try withConnection(asked) { connection, isFresh in
            var keys = connection.keys.filter { $0.id == id }
            if keys.isEmpty {
                try connection.refresh()
                keys = connection.keys.filter { $0.id == id }
            }
            // Destroyed, or not to be seen any more: a new connection tells which.
            if keys.isEmpty, !isFresh { throw Lost() }
            // Nothing keeps two keys from having one CKA_ID.
            for key in keys {
                guard let plain = try connection.open(wrapped.bytes, with: key, context: context) else { continue }
                // The caller's from here on: an array can't be overwritten for certain, since it may have been copied.
                return plain.withBytes { Array($0) }
            }
            throw KeyProviderError.wrongKey
        }
    }

    func rotate(asked: ContinuousClock.Instant) throws(KeyProviderError) -> TokenKeyId {
        try withConnection(asked) { connection, _ in
            try connection.refresh()
            return try newKey(connection)
        }
    }

    /// - Returns: how many were destroyed.
    /// - Throws: with some destroyed already, when one can't be.
    func destroy(allBut keep: Set<String>, asked: ContinuousClock.Instant) throws(KeyProviderError) -> Int {
        let ours = keep.filter { $0.hasPrefix(TokenKeyId.prefix) }
        return try withConnection(asked) { connection, _ in
            try connection.refresh()
            // Another provider's key may be the one to keep, but one must be: a mistake here loses everything.
            guard !keep.isEmpty, ours.isEmpty || connection.keys.contains(where: { ours.contains($0.id.description) }) else {
                throw KeyProviderError.unavailable("none of the keys to keep is in the token, so none was destroyed")
            }
            let others = connection.keys.filter { !ours.contains($0.id.description) }
            for key in others { try connection.destroy(key) }
            try connection.refresh()
            return others.count
        }
    }

    // MARK: Connecting

    /// A connection that shows less than it should.
    private struct Lost: Error {}

    /// Runs `body` with the connection; once more with a new one when an old one turns out to be lost.
    /// - Parameter body: is told whether the connection was made for this call.
    private func withConnection<R>(
        _ asked: ContinuousClock.Instant, _ body: (PKCS11Connection, _ isFresh: Bool) throws -> R
    ) throws(KeyProviderError) -> R {
        do {
            if let connection {
                do {
                    return try body(connection, false)
                } catch let failure as PKCS11Failure where failure.losesSession {
                } catch is Lost {
                }
                self.connection = nil
            }
            return try body(try connect(asked), true)
        } catch let error as KeyProviderError {
            throw error
        } catch {
            // What isn't understood is not relied on: the next call connects anew.
            connection = nil
            throw (error as? PKCS11Failure)?.unavailable ?? .unavailable("\(error)")
        }
    }

    private func connect(_ asked: ContinuousClock.Instant) throws -> PKCS11Connection {
        // Calls that waited while the last attempt failed get its answer, so that they don't each wait for an HSM that is away.
        if let failed, asked < failed.at { throw failed.error }
        do {
            let made = try PKCS11Connection(address, gate: &gate)
            connection = made
            failed = nil
            return made
        } catch {
            failed = (.now, error)
            throw error
        }
    }

    // MARK: Keys

    private func newKey(_ connection: PKCS11Connection) throws -> TokenKeyId {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let milliseconds = UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
        guard let id = TokenKeyId(milliseconds: milliseconds, after: connection.newest?.id) else {
            throw KeyProviderError.unavailable(
                "a key of the token has the greatest id there is, so none can be newer: give it another CKA_ID")
        }
        try connection.makeKey(id)
        try connection.refresh()
        // By the token's own word: whether it keeps to what was asked for.
        guard let key = connection.keys.first(where: { $0.id == id }) else {
            throw KeyProviderError.unavailable("the token made the key \(id) and doesn't show it as one of AES-256")
        }
        return try usable(key).id
    }

    /// - Throws: when the token would hand the key out.
    private func usable(_ key: TokenKey) throws(KeyProviderError) -> TokenKey {
        guard !key.isExtractable else {
            throw .unavailable("the key \(key.id) can be taken out of the token (CKA_EXTRACTABLE), so nothing is wrapped with it: rotate")
        }
        return key
    }

    private var noKey: KeyProviderError {
        .unavailable(
            "the token \(address.token) has no AES-256 key with the address's label: make one (pkcs11-tool --keygen), or let the server make it"
        )
    }
}
