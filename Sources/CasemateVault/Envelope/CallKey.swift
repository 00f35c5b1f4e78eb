import CasemateModel
import Crypto
import Foundation

/// Seals what asynchronous calls of one function are asked and answer, and names what must be compared without being read. Derived from the
/// function's data key: with that all of it is gone.
public struct CallKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// Which part of a call is sealed: none opens as another.
    public enum Part: String, Sendable { case request, result, input }

    private let sealing: SymmetricKey
    private let naming: SymmetricKey

    public init(_ key: DataKey) {
        sealing = key.derived("casemate/call/1")
        naming = key.derived("casemate/call-name/1")
    }

    /// AES-256-GCM with a 96-bit random nonce; additional data are what is sealed and the call's id, so that none can be put in another's
    /// place (NIST SP 800-38D §8.2.2).
    /// - Parameter id: of the call, or of the schedule whose input it is.
    public func seal(_ bytes: [UInt8], _ part: Part, of id: String) throws(VaultError) -> [UInt8] {
        guard let box = try? AES.GCM.seal(bytes, using: sealing, authenticating: Self.context(part, id)), let combined = box.combined else {
            throw .broken
        }
        return Array(combined)
    }

    /// - Throws: `.tampered` for what was not sealed as this part of this call.
    public func open(_ sealed: [UInt8], _ part: Part, of id: String) throws(VaultError) -> [UInt8] {
        guard let box = try? AES.GCM.SealedBox(combined: sealed),
            let plain = try? AES.GCM.open(box, using: sealing, authenticating: Self.context(part, id))
        else { throw .tampered }
        return Array(plain)
    }

    /// Stands for `parts` wherever they are compared: without the key it tells nothing, however few they could be.
    public func name(_ purpose: String, _ parts: [[UInt8]]) -> [UInt8] {
        var code = HMAC<SHA256>(key: naming)
        code.update(data: Array(purpose.utf8))
        for part in parts {
            // With its length, so that no two lists look alike.
            withUnsafeBytes(of: UInt64(part.count).bigEndian) { code.update(data: $0) }
            code.update(data: part)
        }
        return Array(code.finalize())
    }

    private static func context(_ part: Part, _ id: String) -> [UInt8] { Array("casemate/call/1\0\(part.rawValue)\0\(id)".utf8) }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
