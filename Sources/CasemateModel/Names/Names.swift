/// A name that is 1 to 63 of `a-z`, `0-9` and `-`, neither first nor last a dash (RFC 1123 label): safe in URLs, paths and DNS.
public protocol LabelName: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    /// What such a thing is called in messages.
    static var noun: String { get }
    var text: String { get }
    /// Only for text that `isLabel`.
    init(unchecked text: String)
}

extension LabelName {
    public init?(_ text: some StringProtocol) {
        guard Self.isLabel(text) else { return nil }
        self.init(unchecked: String(text))
    }

    public static func isLabel(_ text: some StringProtocol) -> Bool {
        let bytes = text.utf8
        return (1...63).contains(bytes.count) && !text.hasPrefix("-") && !text.hasSuffix("-")
            && bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
    }

    public static var rule: String { "a \(noun) is 1 to 63 of a-z, 0-9 and -, and starts and ends with a letter or digit" }

    public var description: String { text }
    public static func < (left: Self, right: Self) -> Bool { left.text < right.text }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let name = Self(text) else { throw Problem(.invalidName, Self.rule) }
        self = name
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// The tenant boundary that functions, tokens and grants belong to.
public struct NamespaceName: LabelName {
    public static let noun = "namespace name"
    public let text: String
    public init(unchecked text: String) { self.text = text }
}

/// A function's name within its namespace.
public struct FunctionLabel: LabelName {
    public static let noun = "function name"
    public let text: String
    public init(unchecked text: String) { self.text = text }
}

/// `namespace/name`: a label of a function, not its identity.
public struct FunctionName: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    public let namespace: NamespaceName
    public let function: FunctionLabel

    public init(namespace: NamespaceName, function: FunctionLabel) {
        self.namespace = namespace
        self.function = function
    }

    /// From `namespace/name`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let namespace = NamespaceName(parts[0]), let function = FunctionLabel(parts[1]) else { return nil }
        self.init(namespace: namespace, function: function)
    }

    public var description: String { "\(namespace)/\(function)" }

    /// What other functions reach it by: `function.namespace.internal`.
    public var internalHost: String { "\(function).\(namespace).internal" }

    /// From such a host's name.
    public init?(internalHost: some StringProtocol) {
        let labels = internalHost.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.count == 3, labels[2] == "internal", let function = FunctionLabel(labels[0]), let namespace = NamespaceName(labels[1])
        else { return nil }
        self.init(namespace: namespace, function: function)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let name = FunctionName(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not NAMESPACE/FUNCTION")
        }
        self = name
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    public static func < (left: FunctionName, right: FunctionName) -> Bool {
        (left.namespace, left.function) < (right.namespace, right.function)
    }
}

/// A secret's or an environment variable's name: 1 to 128 of letters, digits, `_` and `-`, not first a digit.
public struct VariableName: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    public let text: String

    public init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        guard (1...128).contains(bytes.count), let first = bytes.first, !(48...57).contains(first), first != UInt8(ascii: "-"),
            bytes.allSatisfy({
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "_")
                    || $0 == UInt8(ascii: "-")
            })
        else { return nil }
        self.text = String(text)
    }

    public static let rule = "a name is 1 to 128 of letters, digits, _ and -, and does not start with a digit or -"

    /// Names that change how an interpreter or its loader starts, and so are the platform's alone.
    public var isReserved: Bool {
        ["PATH", "HOME", "IFS", "BASH_ENV", "ENV", "SHELL", "NODE_OPTIONS", "NODE_PATH"].contains(text) || text.hasPrefix("LD_")
            || text.hasPrefix("PYTHON") || text.hasPrefix("CASEMATE_") || text.hasPrefix("GLIBC_TUNABLES") || text.hasPrefix("MALLOC_")
    }

    public var description: String { text }
    public static func < (left: Self, right: Self) -> Bool { left.text < right.text }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let name = Self(text) else { throw Problem(.invalidName, Self.rule) }
        self = name
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
