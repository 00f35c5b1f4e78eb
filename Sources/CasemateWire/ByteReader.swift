/// Reads big-endian fields from a bounded byte string; every read is checked.
public struct ByteReader: ~Copyable {
    private let bytes: [UInt8]
    private var offset = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var remaining: Int { bytes.count - offset }

    public mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_: T.Type = T.self) throws(WireError) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else { throw .truncated }
        var value: T = 0
        for index in offset..<(offset + size) { value = (value << 8) | T(bytes[index]) }
        offset += size
        return value
    }

    public mutating func take(_ count: Int) throws(WireError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .truncated }
        defer { offset += count }
        return Array(bytes[offset..<(offset + count)])
    }

    /// A string of at most `limit` bytes, its length in one byte before it.
    public mutating func shortString(limit: Int = 255) throws(WireError) -> String {
        let count = Int(try integer(UInt8.self))
        guard count <= limit else { throw .outOfRange }
        guard let text = String(validating: try take(count), as: UTF8.self) else { throw .notText }
        return text
    }

    /// Throws unless every byte was read.
    public consuming func finish() throws(WireError) {
        guard offset == bytes.count else { throw .trailingBytes }
    }
}

/// Appends big-endian fields.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(shift))) }
    }

    public mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// Cuts at 255 bytes: these strings are for people.
    public mutating func shortString(_ text: String) {
        var valid = Array(text.utf8.prefix(255))
        while String(validating: valid, as: UTF8.self) == nil { valid.removeLast() }
        integer(UInt8(valid.count))
        append(valid)
    }
}

/// Why bytes are not a message of ours.
public enum WireError: Error, Equatable, Sendable {
    case truncated, trailingBytes, outOfRange, notText, unknownKind, tooLong
}
