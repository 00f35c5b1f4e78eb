/// What the gate knows of a finding besides its place and its remedy.
public struct FindingDetail: Hashable, Sendable, Codable {
    /// From `high` on a deployment stops.
    public enum Level: String, Sendable, Codable, CaseIterable, Comparable {
        case low, medium, high, critical

        public var blocks: Bool { self >= .high }

        public static func < (left: Self, right: Self) -> Bool {
            (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
        }
    }

    public var id: FindingId
    /// `secrets`, `sast`, `advisories`, …
    public var check: String
    /// What it is an instance of: `bandit/B307`, `GHSA-…`.
    public var rule: String
    public var level: Level
    /// The row of docs/guarantees.md that it breaks.
    public var guarantee: String?
    /// The line of a manifest that enforces what was found missing.
    public var enforcedBy: String?
    /// A purl, for a finding in a package.
    public var package: String?
    /// The lowest version of that in which it is mended.
    public var fixed: String?
    /// Set while somebody has decided that it may stay.
    public var waiver: Waived?

    /// The end of a finding's severity: who lets it pass, why, and until when.
    public struct Waived: Hashable, Sendable, Codable {
        public var reason: String
        public var expires: String
        public var by: String

        public init(reason: String, expires: String, by: String) {
            self.reason = reason
            self.expires = expires
            self.by = by
        }
    }

    public init(
        id: FindingId, check: String, rule: String, level: Level, guarantee: String? = nil, enforcedBy: String? = nil,
        package: String? = nil, fixed: String? = nil, waiver: Waived? = nil
    ) {
        self.id = id
        self.check = check
        self.rule = rule
        self.level = level
        self.guarantee = guarantee
        self.enforcedBy = enforcedBy
        self.package = package
        self.fixed = fixed
        self.waiver = waiver
    }
}

/// Names a finding: the same fault at the same place has the same one at each scan, also when lines move. 32 hexadecimal digits.
public struct FindingId: Hashable, Sendable, Codable, CustomStringConvertible {
    public let text: String

    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 32, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else { return nil }
        self.text = String(text)
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = Self(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no finding's id"))
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    public var description: String { text }
}
