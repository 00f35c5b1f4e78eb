/// A region's name: a small letter, then small letters, digits and hyphens, 32 at most. Servers that speak S3 have names of their own.
///
/// libcurl reads it out of `provider:provider:region:service` with sscanf, so that a colon or a blank would change what is signed.
public struct Region: Hashable, Sendable, CustomStringConvertible {
    public let name: String

    public init?(_ name: some StringProtocol) {
        let bytes = Array(name.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 32, Characters.isSmallLetter(first),
            last != UInt8(ascii: "-"),
            bytes.allSatisfy({ Characters.isSmallLetter($0) || Characters.isDigit($0) || $0 == UInt8(ascii: "-") })
        else { return nil }
        self.name = String(name)
    }

    /// What AWS's own hosts in this region end with, or nil for what is none of AWS's public, GovCloud, Chinese or European sovereign
    /// regions. The isolated ones (`us-iso-…`) need an endpoint. Source: `partitions.json` of botocore.
    var domain: String? {
        let parts = name.split(separator: "-")
        guard let number = parts.last, number.utf8.allSatisfy(Characters.isDigit) else { return nil }
        switch (parts[0], parts.count) {
        case ("af", 3), ("ap", 3), ("ca", 3), ("eu", 3), ("il", 3), ("me", 3), ("mx", 3), ("sa", 3), ("us", 3): return "amazonaws.com"
        case ("us", 4) where parts[1] == "gov": return "amazonaws.com"
        case ("cn", 3): return "amazonaws.com.cn"
        case ("eusc", 4) where parts[1] == "de": return "amazonaws.eu"
        default: return nil
        }
    }

    public var description: String { name }
}
