import CasemateLinux
import CasemateModel
import Crypto
import Glibc

/// The key-encryption key of the embedded default: 32 random bytes in a file that only the server's user may read.
public struct FileKeyring: Sendable {
    private let key: SymmetricKey

    /// Reads the key, or makes one when `mayCreate` and there is none.
    /// - Throws: when the file is missing, of another size, or readable by others.
    public init(path: String, mayCreate: Bool) throws {
        if !Files.exists(path), mayCreate {
            let fresh = SymmetricKey(size: .bits256)
            try fresh.withUnsafeBytes { try KeyFile.create(path, bytes: Array($0)) }
        }
        let bytes = try KeyFile.read(path)
        guard bytes.count == 32 else { throw KeyFileError.wrongSize(path) }
        key = SymmetricKey(data: bytes)
    }

    /// Wraps a data key for one function (AES-256-GCM, 96-bit random nonce; the additional data names the function).
    func wrap(_ dataKey: SymmetricKey, for function: FunctionId) throws -> [UInt8] {
        let plain = dataKey.withUnsafeBytes { Array($0) }
        guard let box = try AES.GCM.seal(plain, using: key, authenticating: Self.context(function)).combined else {
            throw VaultError.broken
        }
        return Array(box)
    }

    func unwrap(_ wrapped: [UInt8], for function: FunctionId) throws -> SymmetricKey {
        guard let box = try? AES.GCM.SealedBox(combined: wrapped),
            let plain = try? AES.GCM.open(box, using: key, authenticating: Self.context(function))
        else { throw VaultError.wrongKey }
        return SymmetricKey(data: plain)
    }

    private static func context(_ function: FunctionId) -> [UInt8] { Array("casemate/dek/1\0\(function)".utf8) }
}

public enum VaultError: Error, CustomStringConvertible {
    case wrongKey, broken

    public var description: String {
        switch self {
        case .wrongKey: "a sealed value does not open with this key, function, name and version"
        case .broken: "sealing failed"
        }
    }
}
