/// One name and port that a sandbox may reach, exactly.
public struct AllowedHost: Hashable, Sendable {
    /// Lower case, without a dot at its end.
    public let name: String
    public let port: UInt16

    /// Nil for what is no host name (RFC 1123) or an address: names only.
    public init?(name: String, port: UInt16) {
        // Checked first: some letters of other scripts become ASCII when lowered.
        guard name.utf8.allSatisfy({ $0 < 128 }) else { return nil }
        let lower = name.lowercased()
        let labels = lower.split(separator: ".", omittingEmptySubsequences: false)
        guard lower.utf8.count <= 253, labels.allSatisfy(Self.isLabel), labels.last?.utf8.allSatisfy({ (48...57).contains($0) }) == false
        else {
            return nil
        }
        self.name = lower
        self.port = port
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
            }
    }
}
