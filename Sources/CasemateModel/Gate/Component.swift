/// A package that a bundle holds.
public struct Component: Hashable, Sendable, Codable {
    /// As PEP 503 writes it.
    public var name: String
    public var version: String
    public var purl: String
    /// SPDX expressions, or what the package says instead.
    public var licenses: [String]
    /// `sha256:…` of the files that it may be installed from.
    public var hashes: [String]
    /// Names of what it needs.
    public var requires: [String]
    /// Whether the source asks for it itself.
    public var direct: Bool
    /// Whether it lies in the source, and was not installed.
    public var vendored: Bool
    /// Where the source asks for it.
    public var file: String?
    public var line: Int?

    public init(
        name: String, version: String, purl: String, licenses: [String] = [], hashes: [String] = [], requires: [String] = [],
        direct: Bool = false, vendored: Bool = false, file: String? = nil, line: Int? = nil
    ) {
        self.name = name
        self.version = version
        self.purl = purl
        self.licenses = licenses
        self.hashes = hashes
        self.requires = requires
        self.direct = direct
        self.vendored = vendored
        self.file = file
        self.line = line
    }
}
