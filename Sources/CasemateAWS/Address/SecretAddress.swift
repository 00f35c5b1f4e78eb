/// `aws-sm://REGION/NAME?stage=STAGE&key=FIELD&endpoint=URL`, or without the region where there is a default.
public struct SecretAddress: Hashable, Sendable {
    public let region: Region
    /// As Secrets Manager takes it for SecretId: a name, which may have slashes, or an ARN.
    public let secretId: String
    /// The version's label; nil for AWSCURRENT.
    public let versionStage: String?
    /// The field to take when the secret is a JSON object.
    public let field: String?
    public let endpoint: Endpoint?

    private static let form = "aws-sm://REGION/NAME"

    /// What stands before the first slash is the region when it is the name of one of AWS's: a secret in a folder of such a name, in the
    /// default region, needs the region written out.
    init(_ parts: AddressParts, defaultRegion: Region?) throws(AWSAddressError) {
        try parts.allow(["stage", "key", "endpoint"], form: Self.form + "?stage=AWSPREVIOUS&key=FIELD")
        endpoint = try parts.endpoint()
        let first = parts.body.prefix { $0 != "/" }
        let name: Substring
        if let region = Region(first), region.domain != nil {
            self.region = region
            name = parts.body[first.endIndex...].dropFirst()
        } else if let defaultRegion {
            region = try Region(Substring(defaultRegion.name), endpoint: endpoint, form: Self.form)
            name = parts.body
        } else {
            throw AWSAddressError("there is no default region, and none of AWS's before the name: write \(Self.form)")
        }
        if name.hasPrefix("arn:") {
            guard let arn = ARN(name, service: "secretsmanager"), arn.resource.hasPrefix("secret:"),
                Self.isName(arn.resource.dropFirst(7))
            else { throw AWSAddressError("that is no ARN of a secret: write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX") }
            guard arn.region == region.name else {
                throw AWSAddressError("the secret's ARN is of another region than \(region): write \(Self.form)")
            }
        } else {
            guard Self.isName(name) else {
                throw AWSAddressError("a secret's name is 1 to 512 letters, digits and /_+=.@-: write \(Self.form)")
            }
        }
        secretId = String(name)
        let stage = parts["stage"]
        guard stage?.isMade(of: "_.-", atMost: 256) ?? true else {
            throw AWSAddressError("a stage is 1 to 256 letters, digits and _.-: write stage=AWSPREVIOUS")
        }
        versionStage = stage.map { String($0) }
        let field = parts["key"]
        guard field?.isMade(of: "_.-", atMost: 128) ?? true else {
            throw AWSAddressError("a field's name is 1 to 128 letters, digits and _.-: write key=FIELD")
        }
        self.field = field.map { String($0) }
    }

    /// Secrets Manager API reference, CreateSecret: "ASCII letters, numbers, and the following characters: /_+=.@-".
    private static func isName(_ text: Substring) -> Bool { text.isMade(of: "/_+=.@-", atMost: 512) }
}
