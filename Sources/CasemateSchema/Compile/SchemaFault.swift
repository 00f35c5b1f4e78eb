/// Why a schema is not taken, where, and what to write instead.
public struct SchemaFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where in the schema (RFC 6901); empty for the whole of it.
    public let pointer: String
    /// To be read after the place: `is not known`.
    public let what: String
    public let fix: String

    init(pointer: String, what: String, fix: String) {
        self.pointer = pointer
        self.what = what
        self.fix = fix
    }

    public var message: String { fix.isEmpty ? what : "\(what); \(fix)" }

    public var description: String { "\(pointer.isEmpty ? "the schema" : pointer) \(message)" }
}
