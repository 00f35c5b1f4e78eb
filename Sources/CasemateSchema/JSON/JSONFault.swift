/// Why bytes are no JSON document that we take. Quotes nothing of them.
public struct JSONFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// Bytes before the place where it shows.
    public let offset: Int
    /// What is wrong, to be read after "the document": `ends too early`.
    public let what: String

    public var description: String { "\(what), at byte \(offset)" }
}
