/// One right on one function, as a manifest declares it: what a session of the declaring function may do, if its caller may.
public struct Capability: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    public let function: FunctionName
    public let right: Right

    /// Those that a session can have. With the others a call would leave something behind that outlives it: a token, a secret, other code.
    public static let rights: [Right] = [.functionInvoke, .functionRead, .logsRead, .sourceRead]

    public init(function: FunctionName, right: Right) {
        self.function = function
        self.right = right
    }

    /// From `NAMESPACE/FUNCTION:RIGHT`; rights on the function itself may be written without `function:`, like `plant/lookup:invoke`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let function = FunctionName(parts[0]),
            let right = Right(rawValue: String(parts[1])) ?? Right(rawValue: Self.prefix + String(parts[1])), Self.rights.contains(right)
        else { return nil }
        self.init(function: function, right: right)
    }

    private static let prefix = "function:"

    /// In the shorter form.
    public static func words(_ right: Right) -> String {
        right.rawValue.hasPrefix(prefix) ? String(right.rawValue.dropFirst(prefix.count)) : right.rawValue
    }

    public static var rule: String { "write it as NAMESPACE/FUNCTION:RIGHT; rights: \(rights.map(words).joined(separator: ", "))" }

    public var description: String { "\(function):\(Self.words(right))" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let capability = Capability(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: Self.rule)
        }
        self = capability
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    public static func < (left: Capability, right: Capability) -> Bool {
        (left.function, left.right.rawValue) < (right.function, right.right.rawValue)
    }
}
