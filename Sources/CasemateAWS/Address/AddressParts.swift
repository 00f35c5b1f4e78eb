/// An address cut at its marks: `SCHEME://BODY?NAME=VALUE&NAME=VALUE`.
struct AddressParts {
    let scheme: Substring
    let body: Substring
    private let query: [Substring: Substring]

    init(_ text: String) throws(AWSAddressError) {
        guard text.utf8.count <= 4096 else { throw AWSAddressError("an address has 4096 bytes at most") }
        guard text.utf8.allSatisfy(Characters.isVisible) else {
            throw AWSAddressError("an address has visible ASCII characters only, and no blanks")
        }
        guard !text.utf8.contains(where: { "%#\\\"".utf8.contains($0) }) else {
            throw AWSAddressError("an address has no %, #, \\ or quotes: write names as they are, nothing is decoded")
        }
        guard let mark = text.firstRange(of: "://") else {
            throw AWSAddressError("an address begins with aws-kms://, aws-sm:// or s3://")
        }
        scheme = text[..<mark.lowerBound]
        let rest = text[mark.upperBound...]
        let question = rest.firstIndex(of: "?")
        body = rest[..<(question ?? rest.endIndex)]
        var query: [Substring: Substring] = [:]
        if let question {
            for part in rest[rest.index(after: question)...].split(separator: "&", omittingEmptySubsequences: false) {
                guard let equals = part.firstIndex(of: "="), equals > part.startIndex, part.index(after: equals) < part.endIndex else {
                    throw AWSAddressError("after ? write NAME=VALUE, and more of them after &")
                }
                guard query.updateValue(part[part.index(after: equals)...], forKey: part[..<equals]) == nil else {
                    throw AWSAddressError("\(Self.shown(part[..<equals]))= is there twice")
                }
            }
        }
        self.query = query
    }

    /// Refuses every name after `?` but these.
    func allow(_ names: [Substring], form: String) throws(AWSAddressError) {
        guard let other = query.keys.filter({ !names.contains($0) }).min() else { return }
        let known = names.map { "\($0)=" }.joined(separator: " and ")
        throw AWSAddressError("\(scheme) takes \(known), not \(Self.shown(other))=: write \(form)")
    }

    subscript(_ name: Substring) -> Substring? { query[name] }

    func endpoint() throws(AWSAddressError) -> Endpoint? {
        guard let text = query["endpoint"] else { return nil }
        return try Endpoint(text)
    }

    private static func shown(_ name: Substring) -> Substring { name.isMade(of: "-_", atMost: 32) ? name : "that name" }
}

extension Region {
    /// A region that must have a host: AWS's own, or the endpoint's.
    init(_ text: Substring, endpoint: Endpoint?, form: String) throws(AWSAddressError) {
        guard let region = Region(text), region.domain != nil || endpoint != nil else {
            throw AWSAddressError("a region is one of AWS's such as eu-west-1, or any name with endpoint=: write \(form)")
        }
        self = region
    }
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (AWS General Reference, "Amazon Resource Names").
struct ARN {
    let region: Substring
    let resource: Substring

    init?(_ text: Substring, service: String) {
        let fields = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard fields.count == 6, fields[0] == "arn", fields[1].hasPrefix("aws"), fields[1].isMade(of: "-", atMost: 32),
            fields[2] == service, fields[4].utf8.count == 12, fields[4].utf8.allSatisfy(Characters.isDigit)
        else { return nil }
        region = fields[3]
        resource = fields[5]
    }
}
