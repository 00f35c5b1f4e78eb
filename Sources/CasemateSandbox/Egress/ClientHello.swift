/// Reads which server a TLS client asks for (SNI, RFC 6066 §3), from its first bytes as they come.
///
/// The hello may be spread over records (RFC 8446 §5.1) and arrive in pieces of any size. Nothing is decrypted.
struct ClientHello {
    enum Reading: Equatable {
        case needsMore
        /// As it was written.
        case name(String)
        case noName
        /// The name is encrypted (ECH): what can be read is not what is meant.
        case hiddenName
        case notTLS
    }

    /// No client's hello is near it, not even with keys of post-quantum algorithms.
    static let longest = 1 << 16

    private var record = [UInt8]()
    private var leftInRecord = 0
    private var handshake = [UInt8]()
    private(set) var reading = Reading.needsMore

    /// Whether a first byte may begin a hello.
    static func begins(with byte: UInt8) -> Bool { byte == handshakeRecord }

    private static let handshakeRecord: UInt8 = 22

    /// Takes the next bytes; those behind the hello are let be.
    mutating func feed(_ bytes: some Collection<UInt8>) {
        var rest = bytes[...]
        while case .needsMore = reading, let byte = rest.first {
            if leftInRecord > 0 {
                let part = rest.prefix(leftInRecord)
                handshake.append(contentsOf: part)
                leftInRecord -= part.count
                rest = rest.dropFirst(part.count)
                lookAtHandshake()
                continue
            }
            record.append(byte)
            rest = rest.dropFirst()
            lookAtRecord()
        }
    }

    private mutating func lookAtRecord() {
        let isRecord =
            switch record.count {
            case 1: record[0] == Self.handshakeRecord
            case 2: record[1] == 3
            default: true
            }
        guard isRecord else { return reading = .notTLS }
        guard record.count == 5 else { return }
        leftInRecord = Int(record[3]) << 8 | Int(record[4])
        // An empty record of this kind is forbidden, and would cost nothing to send for ever.
        if !(1...16_384).contains(leftInRecord) { reading = .notTLS }
        record = []
    }

    private mutating func lookAtHandshake() {
        guard handshake.first == 1 else { return reading = .notTLS }
        guard handshake.count >= 4 else { return }
        let length = Int(handshake[1]) << 16 | Int(handshake[2]) << 8 | Int(handshake[3])
        guard length <= Self.longest else { return reading = .notTLS }
        guard handshake.count >= 4 + length else { return }
        reading = Self.name(in: handshake[4..<(4 + length)])
        handshake = []
    }

    /// The body of the hello (RFC 8446 §4.1.2).
    private static func name(in body: ArraySlice<UInt8>) -> Reading {
        var input = Cursor(body)
        guard input.skip(2 + 32), let session = input.block8(), session.count <= 32, let suites = input.block16(), suites.count >= 2,
            suites.count % 2 == 0, let compression = input.block8(), !compression.isEmpty
        else { return .notTLS }
        if input.isAtEnd { return .noName }
        guard let extensions = input.block16(), input.isAtEnd else { return .notTLS }
        var list = Cursor(extensions)
        var found = Reading.noName
        while !list.isAtEnd {
            guard let type = list.integer16(), let value = list.block16() else { return .notTLS }
            switch type {
            case serverName:
                guard found == .noName, let name = hostName(in: value) else { return .notTLS }
                found = .name(name)
            case encryptedHello: return .hiddenName
            default: break
            }
        }
        return found
    }

    private static let serverName: UInt16 = 0
    /// Of draft-ietf-tls-esni, §11.1.
    private static let encryptedHello: UInt16 = 0xfe0d

    /// Exactly one name, of the one type there is.
    private static func hostName(in value: ArraySlice<UInt8>) -> String? {
        var input = Cursor(value)
        guard let list = input.block16(), input.isAtEnd else { return nil }
        var entry = Cursor(list)
        guard entry.integer8() == 0, let name = entry.block16(), entry.isAtEnd, !name.isEmpty, name.allSatisfy({ (33...126).contains($0) })
        else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}

/// Walks over bytes; every step may find that there are too few.
private struct Cursor {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ count: Int) -> Bool { take(count) != nil }

    mutating func integer8() -> UInt8? { rest.popFirst() }

    mutating func integer16() -> UInt16? { take(2).map { UInt16($0[$0.startIndex]) << 8 | UInt16($0[$0.startIndex + 1]) } }

    /// Bytes behind a length of one byte.
    mutating func block8() -> ArraySlice<UInt8>? { integer8().flatMap { take(Int($0)) } }

    /// Bytes behind a length of two bytes.
    mutating func block16() -> ArraySlice<UInt8>? { integer16().flatMap { take(Int($0)) } }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
