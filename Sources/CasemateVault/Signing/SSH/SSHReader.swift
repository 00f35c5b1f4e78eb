/// Reads SSH's wire format (RFC 4251 §5) from bytes that anybody may have written.
struct SSHReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Collection<UInt8>) { rest = Array(bytes)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func uint32() -> UInt32? { bytes(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

    mutating func string() -> [UInt8]? {
        guard let count = uint32(), count <= rest.count else { return nil }
        return bytes(Int(count))
    }

    mutating func text() -> String? { string().flatMap { String(validating: $0, as: UTF8.self) } }

    /// A number that is not negative, without leading zeros.
    mutating func positive() -> [UInt8]? {
        guard let bytes = string(), bytes.first.map({ $0 < 0x80 }) ?? true else { return nil }
        return Array(bytes.drop { $0 == 0 })
    }

    static func encode(_ string: some Collection<UInt8>) -> [UInt8] {
        let count = UInt32(string.count)
        return [UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + Array(string)
    }
}
