import CasemateDeploy
import CasemateModel
import CasemateVault

/// `supplyChain` of a policy's body: what is left out is at its default.
struct NewSupplyChainPolicy: Decodable {
    var requireSignature: Bool?
    var signers: [[String: String]]?
    var requireApproval: [String]?
    var requireReview: Bool?
    var production: Bool?
    var promoteFrom: [NamespaceName]?

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case requireSignature, signers, requireApproval, requireReview, production, promoteFrom
    }

    private static let most = 100

    init(from decoder: any Decoder) throws {
        let all = try decoder.container(keyedBy: AnyKey.self)
        if let unknown = all.allKeys.first(where: { key in !CodingKeys.allCases.contains { $0.rawValue == key.stringValue } }) {
            let known = CodingKeys.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw Problem(.invalidRequest, "unknown field \"supplyChain.\(unknown.stringValue.prefix(60))\"; known: \(known)")
        }
        let container = try decoder.container(keyedBy: CodingKeys.self)
        requireSignature = try container.decodeIfPresent(Bool.self, forKey: .requireSignature)
        signers = try container.decodeIfPresent([[String: String]].self, forKey: .signers)
        requireApproval = try container.decodeIfPresent([String].self, forKey: .requireApproval)
        requireReview = try container.decodeIfPresent(Bool.self, forKey: .requireReview)
        production = try container.decodeIfPresent(Bool.self, forKey: .production)
        promoteFrom = try container.decodeIfPresent([NamespaceName].self, forKey: .promoteFrom)
    }

    /// - Throws: `.invalidRequest` naming the field.
    var policy: SupplyChainPolicy {
        get throws(Problem) {
            var policy = SupplyChainPolicy(
                requireSignature: requireSignature ?? false, requireReview: requireReview ?? false, production: production ?? false)
            guard (promoteFrom ?? []).count <= Self.most else {
                throw Problem(.invalidRequest, "supplyChain.promoteFrom has at most \(Self.most) entries")
            }
            policy.promoteFrom = promoteFrom.map { Set($0).sorted() }
            guard (signers ?? []).count <= Self.most else {
                throw Problem(.invalidRequest, "supplyChain.signers has at most \(Self.most) entries")
            }
            policy.signers = try (signers ?? []).map(Self.signer).sorted()
            guard Set(policy.signers.map(\.fingerprint)).count == policy.signers.count else {
                throw Problem(.invalidRequest, "supplyChain.signers: one key stands there twice")
            }
            for text in requireApproval ?? [] {
                guard let kind = ApprovalKind(rawValue: text) else {
                    let known = ApprovalKind.allCases.map(\.rawValue).joined(separator: ", ")
                    throw Problem(.invalidRequest, "supplyChain.requireApproval: \"\(text.prefix(60))\" is none; known: \(known)")
                }
                policy.requireApproval.insert(kind)
            }
            return policy
        }
    }

    private static func signer(_ fields: [String: String]) throws(Problem) -> SupplyChainPolicy.Signer {
        let known = ["name", "key", "from", "until"]
        if let unknown = fields.keys.filter({ !known.contains($0) }).min() {
            throw Problem(
                .invalidRequest,
                "unknown field \"supplyChain.signers.\(unknown.prefix(60))\"; known: \(known.sorted().joined(separator: ", "))")
        }
        guard let name = fields["name"], (1...100).contains(name.utf8.count), !name.unicodeScalars.contains(where: \.properties.isControl)
        else {
            throw Problem(.invalidRequest, "supplyChain.signers: each has a name of 1 to 100 bytes, without control characters")
        }
        guard let key = fields["key"].flatMap({ $0.contains(where: \.isNewline) ? nil : SSHPublicKey($0) }) else {
            throw Problem(
                .invalidRequest,
                "supplyChain.signers: the key of \(name.prefix(60)) is no line of an SSH public key (id_ed25519.pub) of a kind that is taken: ssh-ed25519, ecdsa-sha2-nistp256, -384 or -521, ssh-rsa from 2048 bits, or the sk- ones"
            )
        }
        let (from, until) = (try time("from", fields, name), try time("until", fields, name))
        if let from, let until, from >= until {
            throw Problem(.invalidRequest, "supplyChain.signers: the time of \(name.prefix(60)) ends before it begins")
        }
        return SupplyChainPolicy.Signer(name: name, key: key.text, fingerprint: key.fingerprint, from: from, until: until)
    }

    private static func time(_ field: String, _ fields: [String: String], _ name: String) throws(Problem) -> Timestamp? {
        guard let text = fields[field] else { return nil }
        guard let time = Timestamp(rfc3339: text) else {
            throw Problem(
                .invalidRequest, "supplyChain.signers: \(field) of \(name.prefix(60)) is no time like 2030-01-31T12:00:00Z")
        }
        return time
    }
}

extension Unicode.Scalar.Properties {
    fileprivate var isControl: Bool { generalCategory == .control || generalCategory == .format }
}

struct SupplyChainView: Encodable, Sendable {
    struct Signer: Encodable, Sendable {
        var name: String
        var key: String
        var from: String?
        var until: String?
    }

    var requireSignature: Bool
    var signers: [Signer]
    var requireApproval: [String]
    var requireReview: Bool
    var production: Bool
    var promoteFrom: [NamespaceName]?

    init(_ policy: SupplyChainPolicy) {
        requireSignature = policy.requireSignature
        signers = policy.signers.map {
            Signer(name: $0.name, key: $0.key, from: $0.from?.rfc3339, until: $0.until?.rfc3339)
        }
        requireApproval = policy.requireApproval.map(\.rawValue).sorted()
        requireReview = policy.requireReview
        production = policy.production
        promoteFrom = policy.promoteFrom
    }
}
