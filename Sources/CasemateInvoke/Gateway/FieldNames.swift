/// A set of header field names, asked without regard to case and without making a string for it.
///
/// An underscore counts as a dash: to many a framework inside a function they are the same (RFC 3875 §4.1.18).
struct FieldNames: Sendable {
    /// By length.
    private let names: [[[UInt8]]]
    private let prefixes: [[UInt8]]

    /// - Parameters: in lower case.
    init(_ names: [String], prefixes: [String] = []) {
        var byLength = [[[UInt8]]](repeating: [], count: (names.map(\.utf8.count).max() ?? 0) + 1)
        for name in names { byLength[name.utf8.count].append(Array(name.utf8)) }
        self.names = byLength
        self.prefixes = prefixes.map { Array($0.utf8) }
    }

    /// Whether `name` is one of them, or begins with one of the prefixes.
    func contains(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { bytes in
            if bytes.count < names.count, names[bytes.count].contains(where: { Self.begins(bytes, $0) }) { return true }
            return prefixes.contains { Self.begins(bytes, $0) }
        }
    }

    private static func begins(_ bytes: UnsafeBufferPointer<UInt8>, _ lower: [UInt8]) -> Bool {
        guard bytes.count >= lower.count else { return false }
        for index in lower.indices {
            let byte = bytes[index]
            let folded = (65...90).contains(byte) ? byte | 0x20 : byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : byte
            if folded != lower[index] { return false }
        }
        return true
    }
}
