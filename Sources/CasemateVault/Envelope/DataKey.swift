import CasemateModel
import Crypto
import Foundation

/// The key of one function's secrets, opened. It lives for the time of a piece of work, and never leaves memory but wrapped.
public final class DataKey: Sendable, CustomStringConvertible, CustomReflectable {
    private let function: FunctionId
    private let key: SymmetricKey

    init(_ key: SymmetricKey, of function: FunctionId) {
        self.key = key
        self.function = function
    }

    /// Seals a value (AES-256-GCM, 96-bit random nonce).
    ///
    /// The additional data are function id, name and version: a row moved to another function, name or version does not open.
    /// Source: NIST SP 800-38D §8.2.2; guarantee COG-3.
    public func seal(_ secret: Secret, name: VariableName, version: Int) throws(VaultError) -> [UInt8] {
        let box = secret.withBytes { try? AES.GCM.seal($0, using: key, authenticating: context(name, version)) }
        guard let combined = box?.combined else { throw .broken }
        return Array(combined)
    }

    /// Seals a spec's plain values, which are no secrets but nobody's business in a stolen disk either (guarantee SCW-5).
    public func sealing(_ spec: FunctionSpec) throws(VaultError) -> FunctionSpec {
        guard !spec.environment.isEmpty else { return spec }
        guard let plain = try? JSONEncoder().encode(spec.environment),
            let box = try? AES.GCM.seal(plain, using: key, authenticating: environmentContext).combined
        else { throw .broken }
        var sealed = spec
        sealed.environment = [:]
        sealed.sealedEnvironment = box.base64EncodedString()
        return sealed
    }

    /// - Throws: `.tampered` when they are not what was sealed for this function.
    public func opening(_ spec: FunctionSpec) throws(VaultError) -> FunctionSpec {
        guard let sealed = spec.sealedEnvironment else { return spec }
        guard let bytes = Data(base64Encoded: sealed), let box = try? AES.GCM.SealedBox(combined: bytes),
            let plain = try? AES.GCM.open(box, using: key, authenticating: environmentContext),
            let environment = try? JSONDecoder().decode([VariableName: String].self, from: plain)
        else { throw .tampered }
        var opened = spec
        opened.environment = environment
        opened.sealedEnvironment = nil
        return opened
    }

    private var environmentContext: [UInt8] { Array("casemate/environment/1\0\(function)".utf8) }

    /// - Throws: `.tampered` when a row is not what was sealed; then none is opened.
    public func open(_ sealed: [SealedSecret]) throws(VaultError) -> [OpenedSecret] {
        var opened: [OpenedSecret] = []
        for row in sealed {
            guard let box = try? AES.GCM.SealedBox(combined: row.sealed),
                let plain = try? AES.GCM.open(box, using: key, authenticating: context(row.name, row.version))
            else { throw .tampered }
            // `plain` is Foundation's memory, freed as it is.
            opened.append(OpenedSecret(name: row.name, version: row.version, isWeak: row.isWeak, value: Secret(plain)))
        }
        return opened
    }

    /// Those of the rows that open: a value that nobody runs with any more keeps nothing from starting.
    public func openable(_ sealed: [SealedSecret]) -> [OpenedSecret] { sealed.flatMap { (try? open([$0])) ?? [] } }

    /// 64 bits in hexadecimal that tell whether two versions of a secret have the same value, and nothing about it to whoever does not have
    /// the data key: HMAC-SHA-256 under a key derived from that (RFC 5869).
    public func fingerprint(of secret: Secret, name: VariableName) -> String {
        var code = HMAC<SHA256>(key: derived("casemate/fingerprint/1"))
        code.update(data: Array("\(function)\0\(name)\0".utf8))
        secret.withBytes { code.update(data: $0) }
        return code.finalize().prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// HMAC-SHA-256 under a key derived from this one, for what is kept beside what it seals.
    public func authenticationCode(for bytes: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: bytes, using: authenticationKey))
    }

    public func isValid(_ code: [UInt8], for bytes: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: bytes, using: authenticationKey)
    }

    private var authenticationKey: SymmetricKey { derived("casemate/authentication/1") }

    private func context(_ name: VariableName, _ version: Int) -> [UInt8] {
        Array("casemate/secret/1\0\(function)\0\(name)\0\(version)".utf8)
    }

    /// A key for one purpose (RFC 5869); what is known of it tells nothing about this one.
    func derived(_ purpose: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array(purpose.utf8), outputByteCount: 32)
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try key.withUnsafeBytes(body) }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}

/// A secret with its value, for as long as something runs with it.
public struct OpenedSecret: Sendable {
    public let name: VariableName
    public let version: Int
    /// So short or common that it is looked for as a whole word only.
    public let isWeak: Bool
    public let value: Secret

    public init(name: VariableName, version: Int, isWeak: Bool, value: Secret) {
        self.name = name
        self.version = version
        self.isWeak = isWeak
        self.value = value
    }
}

extension Needle {
    /// What finds the secret's value, by its strength.
    package init(_ secret: OpenedSecret) {
        self = secret.value.withBytes { .secret(name: secret.name.text, value: Array($0), isWeak: secret.isWeak) }
    }
}
