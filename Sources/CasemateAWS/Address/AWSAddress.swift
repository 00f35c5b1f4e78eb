/// What an operator writes to name a key, a secret or a place for objects at AWS or at a server that speaks its protocol:
///
///     aws-kms://REGION/KEY                KEY is a key's id, alias/NAME, or an ARN
///     aws-sm://REGION/NAME                or aws-sm://NAME with a default region; ?stage=AWSPREVIOUS, ?key=FIELD
///     s3://BUCKET/PREFIX?region=REGION
///
/// Each takes `endpoint=URL`. Nothing is percent-decoded, so that there is one spelling for each address.
public enum AWSAddress: Hashable, Sendable {
    case kms(KMSAddress)
    case secret(SecretAddress)
    case s3(S3Address)

    /// - Parameter defaultRegion: for secrets and buckets whose address names none.
    /// - Throws: what is wrong and how to write it.
    public init(_ text: String, defaultRegion: Region? = nil) throws(AWSAddressError) {
        let parts = try AddressParts(text)
        switch parts.scheme {
        case "aws-kms": self = .kms(try KMSAddress(parts))
        case "aws-sm": self = .secret(try SecretAddress(parts, defaultRegion: defaultRegion))
        case "s3": self = .s3(try S3Address(parts, defaultRegion: defaultRegion))
        default: throw AWSAddressError("an address begins with aws-kms://, aws-sm:// or s3://")
        }
    }
}
