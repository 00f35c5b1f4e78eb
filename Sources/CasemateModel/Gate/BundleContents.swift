/// What a revision's bundle holds. Kept apart from the revision: it is long, and few want it.
public struct BundleContents: Sendable, Equatable {
    /// Its packages; nil for a revision that was made before they were told.
    public var components: [Component]?
    /// CycloneDX 1.6, JSON.
    public var sbom: [UInt8]?

    public init(components: [Component]? = nil, sbom: [UInt8]? = nil) {
        self.components = components
        self.sbom = sbom
    }
}
