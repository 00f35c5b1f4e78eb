/// Where a secret's value is kept elsewhere: `aws-sm://prod/db`, `file://plant/db`, `credential://db`.
public struct ExternalSecret: Hashable, Sendable, CustomStringConvertible {
    /// The kinds of places, for messages.
    public static let schemes = ["aws-sm", "credential", "file"]
    public static let rule = "write it as \"aws-sm://prod/db\", \"file://plant/db\" or \"credential://db\""

    public let scheme: String
    /// What follows `://`, without what follows a question mark.
    public let path: String
    /// What follows the question mark; nil where there is none.
    public let query: String?

    /// Nil for another form, or a scheme that there is not.
    public init?(_ text: String) {
        guard text.utf8.count <= 1024, let end = text.firstRange(of: "://") else { return nil }
        scheme = String(text[..<end.lowerBound])
        let rest = text[end.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(rest[0])
        query = rest.count == 2 ? String(rest[1]) : nil
        // Printable, and nothing that means something to a shell, a path or a log.
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/+=@:".utf8)
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard Self.schemes.contains(scheme), path.utf8.allSatisfy(allowed.contains),
            parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }),
            (query ?? "").utf8.allSatisfy({ allowed.contains($0) || $0 == UInt8(ascii: "&") })
        else { return nil }
    }

    /// What a server needs to have such values, for messages.
    public var setUp: String {
        switch scheme {
        case "file": "casemate up --secret-files DIR"
        case "credential": "LoadCredential= in the unit of casemate up"
        default: "casemate up --aws-credentials FILE"
        }
    }

    /// As a policy names it.
    public var place: String { "\(scheme)://\(path)" }
    public var description: String { place + (query.map { "?" + $0 } ?? "") }
}

extension ExternalSecret: Codable {
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let secret = Self(text) else { throw Problem(.invalidRequest, Self.rule) }
        self = secret
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A secret of a function's whose value is kept elsewhere.
public struct SecretReference: Hashable, Sendable, Codable {
    public let name: VariableName
    public let from: ExternalSecret

    public init(name: VariableName, from: ExternalSecret) {
        self.name = name
        self.from = from
    }
}

/// Which of the values that the server can get elsewhere a namespace's functions may have: one, or all below a path.
public struct SecretSourcePattern: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let description: String

    /// `aws-sm://prod/db`, `aws-sm://plant/*`. Nil for another form.
    public init?(_ text: String) {
        let isAll = ExternalSecret.schemes.contains { text == "\($0)://*" }
        let place = text.hasSuffix("/*") ? String(text.dropLast(2)) : text
        guard isAll || ExternalSecret(place).map({ $0.query == nil }) == true else { return nil }
        description = text
    }

    public func allows(_ secret: ExternalSecret) -> Bool {
        let place = secret.place
        guard description.hasSuffix("*") else { return place.utf8.elementsEqual(description.utf8) }
        return place.utf8.starts(with: description.utf8.dropLast())
    }

    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let pattern = Self(text) else { throw Problem(.invalidRequest, ExternalSecret.rule) }
        self = pattern
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
