/// `aws-kms://REGION/KEY?endpoint=URL`.
public struct KMSAddress: Hashable, Sendable {
    public let region: Region
    /// As KMS takes it for KeyId: a key's id, `alias/NAME`, or the ARN of either.
    public let keyId: String
    public let endpoint: Endpoint?

    private static let form = "aws-kms://REGION/KEY, where KEY is a key's id, alias/NAME or a full ARN"

    init(_ parts: AddressParts) throws(AWSAddressError) {
        try parts.allow(["endpoint"], form: Self.form)
        endpoint = try parts.endpoint()
        guard let slash = parts.body.firstIndex(of: "/") else { throw AWSAddressError("the key is missing: write \(Self.form)") }
        region = try Region(parts.body[..<slash], endpoint: endpoint, form: Self.form)
        let key = parts.body[parts.body.index(after: slash)...]
        if key.hasPrefix("arn:") {
            guard let arn = ARN(key, service: "kms"), Self.isAlias(arn.resource) || Self.isKey(arn.resource) else {
                throw AWSAddressError("that is no ARN of a KMS key: write arn:aws:kms:REGION:ACCOUNT:key/ID")
            }
            guard arn.region == region.name else {
                throw AWSAddressError("the key's ARN is of another region than \(region): write the same in both places")
            }
        } else {
            guard Self.isAlias(key) || Self.isId(key) else {
                throw AWSAddressError("that is no key's id (an alias is written alias/NAME): write \(Self.form)")
            }
        }
        keyId = String(key)
    }

    private static func isKey(_ resource: Substring) -> Bool { resource.hasPrefix("key/") && isId(resource.dropFirst(4)) }

    private static func isAlias(_ text: Substring) -> Bool {
        text.hasPrefix("alias/") && text.dropFirst(6).isMade(of: "/_-", atMost: 250)
    }

    /// A UUID, or `mrk-` and 32 hexadecimal digits for a key of several regions (KMS API reference, KeyMetadata).
    private static func isId(_ text: Substring) -> Bool {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        let lengths = groups.map(\.utf8.count)
        let hexadecimal = groups.first == "mrk" ? groups.dropFirst() : groups[...]
        return (lengths == [8, 4, 4, 4, 12] || lengths == [3, 32] && groups[0] == "mrk")
            && hexadecimal.allSatisfy { $0.utf8.allSatisfy { Characters.isDigit($0) || (97...102).contains($0) } }
    }
}
