/// A bucket's name (S3 user guide, "General purpose bucket naming rules").
public struct S3Bucket: Hashable, Sendable, CustomStringConvertible {
    public let name: String

    public init?(_ name: some StringProtocol) {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard (3...63).contains(name.utf8.count),
            labels.allSatisfy({ label in
                !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.utf8.allSatisfy { Characters.isSmallLetter($0) || Characters.isDigit($0) || $0 == UInt8(ascii: "-") }
            }),
            !name.utf8.allSatisfy({ Characters.isDigit($0) || $0 == UInt8(ascii: ".") })
        else { return nil }
        self.name = String(name)
    }

    /// A dot in the name is one label more than the certificate `*.s3.REGION.amazonaws.com` covers.
    var isHostLabel: Bool { !name.utf8.contains(UInt8(ascii: ".")) }

    public var description: String { name }
}

/// An object's key, or a prefix of keys: 1 to 1024 unreserved characters (RFC 3986 §2.3) and slashes, with something other than `.` and
/// `..` before, between and after the slashes.
///
/// S3 takes more. But libcurl 7.88.1 signs a path as it is written, and proxies and servers like to tidy paths; of these every one
/// makes the same.
public struct S3Key: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    public init?(_ text: some StringProtocol) {
        let segments = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...1024).contains(text.utf8.count),
            segments.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.allSatisfy(Characters.isUnreserved) })
        else { return nil }
        self.text = String(text)
    }

    public var description: String { text }
}
