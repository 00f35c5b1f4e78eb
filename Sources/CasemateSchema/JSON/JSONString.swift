/// A string of JSON, as UTF-8. Two are equal when their code points are (RFC 8259 §8.3); to Swift's own String one `é` is like another,
/// however it is composed.
public struct JSONString: Hashable, Sendable {
    /// Valid UTF-8: both ways in see to that.
    public let utf8: [UInt8]

    /// - Parameter utf8: looked at already, as all of a document's bytes are before it is parsed.
    init(validated utf8: [UInt8]) { self.utf8 = utf8 }

    public init(_ text: String) { utf8 = Array(text.utf8) }

    public var text: String { String(decoding: utf8, as: UTF8.self) }

    /// What `minLength` counts (RFC 8259: characters are code points).
    var codePoints: Int { utf8.withUnsafeBufferPointer { $0.count { $0 & 0xc0 != 0x80 } } }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(utf8.count)
        utf8.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension JSONString: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { self.init(text) }
}
