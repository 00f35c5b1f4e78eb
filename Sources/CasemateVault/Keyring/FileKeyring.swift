import CasemateLinux
import CasemateModel
import Crypto
import Foundation
import Glibc
import Synchronization

/// The key-encryption key of the embedded default: 32 random bytes in a file that only the server's user may read.
///
/// While keys are rotated the file has several, the newest first: a line `casemate/kek/1`, then each in base64url on a line of its own. The
/// file is looked at before each use: taken away (as a key on a medium of its own is), nothing opens until it is back.
public final class FileKeyring: KeyProvider {
    public let scheme = "file"
    private let path: String
    private let loaded: Mutex<Loaded?> = Mutex(nil)

    private struct Loaded {
        var stamp: Stamp
        var keys: [(id: String, key: SymmetricKey)]
    }

    /// What changes when a file is written or replaced.
    private struct Stamp: Equatable {
        var inode: UInt64
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }

    private static let header = "casemate/kek/1"
    private static let mostKeys = 16

    /// Makes a key when `mayCreate` and there is none. A key that is not there otherwise may come later.
    /// - Throws: `KeyFileError` when the file is of another size or form, or readable by others.
    public init(path: String, mayCreate: Bool) throws {
        self.path = path
        if !Files.exists(path) {
            guard mayCreate else { return }
            try SymmetricKey(size: .bits256).withUnsafeBytes { try KeyFile.create(path, bytes: Array($0)) }
        }
        loaded.withLock { $0 = nil }
        _ = try load()
    }

    public var place: String { path }

    public func activeKey() async throws(KeyProviderError) -> String { try keys()[0].id }

    public func wrap(_ key: [UInt8], context: [UInt8]) async throws(KeyProviderError) -> WrappedKey {
        let active = try keys()[0]
        guard let box = try? AES.GCM.seal(key, using: active.key, authenticating: context).combined else { throw .wrongKey }
        return WrappedKey(keyId: active.id, bytes: Array(box))
    }

    public func unwrap(_ wrapped: WrappedKey, context: [UInt8]) async throws(KeyProviderError) -> [UInt8] {
        try opened(wrapped, context: context)
    }

    public func unwrapNow(_ wrapped: WrappedKey, context: [UInt8]) throws(KeyProviderError) -> [UInt8]? {
        try opened(wrapped, context: context)
    }

    private func opened(_ wrapped: WrappedKey, context: [UInt8]) throws(KeyProviderError) -> [UInt8] {
        let keys = try keys()
        guard let box = try? AES.GCM.SealedBox(combined: wrapped.bytes) else { throw .wrongKey }
        for entry in keys where wrapped.keyId.isEmpty || wrapped.keyId == entry.id {
            if let plain = try? AES.GCM.open(box, using: entry.key, authenticating: context) { return Array(plain) }
        }
        guard wrapped.keyId.isEmpty || keys.contains(where: { $0.id == wrapped.keyId }) else {
            throw .unknownKey("\(path) does not have the key \(wrapped.keyId): put back the one that it was wrapped with")
        }
        throw .wrongKey
    }

    public func hasOne(of wanted: Set<String>) -> Bool? { (try? keys()).map { $0.contains { wanted.contains($0.id) } } }

    public func rotate() async throws(KeyProviderError) -> String {
        let before = try keys()
        // A rotation that did not end goes on: its key is there already, and none is ever dropped to make room.
        if before.count > 1 { return before[0].id }
        let fresh = SymmetricKey(size: .bits256)
        try replace([(Self.id(of: fresh), fresh)] + before)
        return try keys()[0].id
    }

    public func destroy(allBut kept: Set<String>) async throws(KeyProviderError) -> Int? {
        let before = try keys()
        let after = before.filter { kept.contains($0.id) }
        guard after.count < before.count else { return 0 }
        guard !after.isEmpty else {
            // Data keys are wrapped by another provider now.
            do { try KeyFile.erase(path) } catch { throw .unavailable("\(path) can't be removed") }
            loaded.withLock { $0 = nil }
            return before.count
        }
        try replace(after)
        return before.count - after.count
    }

    // MARK: The file

    private func keys() throws(KeyProviderError) -> [(id: String, key: SymmetricKey)] {
        do { return try load() } catch let error as KeyFileError { throw .unavailable("\(error)") } catch {
            throw .unavailable("the key file \(path) is not there, or can't be read; put it back, owned by the server's user, mode 0600")
        }
    }

    private func load() throws -> [(id: String, key: SymmetricKey)] {
        var found = stat()
        guard lstat(path, &found) == 0 else { throw SystemError.last("looking at the key file") }
        let stamp = Stamp(
            inode: UInt64(found.st_ino), size: Int(found.st_size), seconds: found.st_mtim.tv_sec, nanoseconds: found.st_mtim.tv_nsec)
        if found.st_mode & 0o077 == 0, let known = loaded.withLock({ $0?.stamp == stamp ? $0 : nil }) { return known.keys }
        var bytes = try KeyFile.read(path)
        defer { bytes.withUnsafeMutableBytes { explicit_bzero($0.baseAddress!, $0.count) } }
        let keys = try Self.parse(bytes, path).map { (id: Self.id(of: $0), key: $0) }
        loaded.withLock { $0 = Loaded(stamp: stamp, keys: keys) }
        return keys
    }

    private static func parse(_ bytes: [UInt8], _ path: String) throws -> [SymmetricKey] {
        if bytes.count == 32 { return [SymmetricKey(data: bytes)] }
        let lines = bytes.split(separator: 10)
        guard let first = lines.first, first.elementsEqual(header.utf8), (2...mostKeys + 1).contains(lines.count) else {
            throw KeyFileError.wrongSize(path)
        }
        return try lines.dropFirst().map { line in
            guard let key = Base64URL.decode(line), key.count == 32 else { throw KeyFileError.wrongSize(path) }
            return SymmetricKey(data: key)
        }
    }

    private func replace(_ keys: [(id: String, key: SymmetricKey)]) throws(KeyProviderError) {
        var bytes: [UInt8] = []
        defer { bytes.withUnsafeMutableBytes { explicit_bzero($0.baseAddress!, $0.count) } }
        if keys.count == 1 {
            keys[0].key.withUnsafeBytes { bytes = Array($0) }
        } else {
            bytes = Array(Self.header.utf8)
            for entry in keys { entry.key.withUnsafeBytes { bytes += [10] + Array(Base64URL.encode(Array($0)).utf8) } }
            bytes.append(10)
        }
        do { try KeyFile.replace(path, bytes: bytes) } catch { throw .unavailable("the key file \(path) can't be written") }
        loaded.withLock { $0 = nil }
    }

    private static func id(of key: SymmetricKey) -> String {
        var hash = SHA256()
        hash.update(data: Array("casemate/kek-id/1\0".utf8))
        key.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return "file:" + hash.finalize().prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
