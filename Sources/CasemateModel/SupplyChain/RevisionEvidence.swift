/// What proves where a revision comes from, to those who do not trust the server's word alone.
public struct RevisionEvidence: Sendable {
    /// A DSSE envelope, JSON; nil for a revision from before there were any.
    public var provenance: [UInt8]?
    /// What whoever deployed it put their signature under, and that signature; nil where they did not.
    public var statement: String?
    public var signature: String?

    public init(provenance: [UInt8]? = nil, statement: String? = nil, signature: String? = nil) {
        self.provenance = provenance
        self.statement = statement
        self.signature = signature
    }
}
