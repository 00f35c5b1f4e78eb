/// `s3://BUCKET/PREFIX?region=REGION&endpoint=URL`, or without the region where there is a default.
public struct S3Address: Hashable, Sendable {
    public let bucket: S3Bucket
    /// Without a slash at its end; nil for the whole bucket.
    public let prefix: S3Key?
    public let region: Region
    public let endpoint: Endpoint?

    private static let form = "s3://BUCKET/PREFIX?region=REGION"

    init(_ parts: AddressParts, defaultRegion: Region?) throws(AWSAddressError) {
        try parts.allow(["region", "endpoint"], form: Self.form + "&endpoint=URL")
        endpoint = try parts.endpoint()
        guard let region = parts["region"] ?? defaultRegion.map({ Substring($0.name) }) else {
            throw AWSAddressError("the bucket's region is missing and there is no default one: write \(Self.form)")
        }
        self.region = try Region(region, endpoint: endpoint, form: Self.form)
        let name = parts.body.prefix { $0 != "/" }
        guard let bucket = S3Bucket(name) else {
            throw AWSAddressError("a bucket's name is 3 to 63 small letters, digits, dots and hyphens: write \(Self.form)")
        }
        self.bucket = bucket
        var rest = parts.body[name.endIndex...].dropFirst()
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard !rest.isEmpty else {
            prefix = nil
            return
        }
        guard let prefix = S3Key(rest) else {
            throw AWSAddressError("a prefix has letters, digits and -._~ between single slashes, and no . or .. alone: write \(Self.form)")
        }
        self.prefix = prefix
    }

    /// The key of an object beneath the prefix; nil for a name that is none.
    public func key(_ name: String) -> S3Key? { S3Key(prefix.map { "\($0)/\(name)" } ?? name) }
}
