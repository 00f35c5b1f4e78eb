import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

extension APIServices {
    var policyRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/policy", needs: .functionRead) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                return .json(PolicyView(try await records.read { try $0.policy(of: namespace.id) }))
            },
            APIRoute(.put, "/v1/namespaces/{namespace}/policy", needs: .policyWrite) { request in
                let policy = try (try await request.json() as NewPolicy).policy
                let namespace = try await namespace(try request.namespace())
                try await records.write { try $0.set(policy, of: namespace.id) }
                policies.set(policy, of: namespace.id)
                // Names for all functions are part of each one's revision.
                for function in try await records.read({ try $0.functions(in: namespace.id) }) {
                    _ = try await deploy.applyGrants(to: function, by: request.principal.subject)
                    try await catalog.reload(function.id)
                }
                return .json(PolicyView(policy))
            },
        ]
    }
}

/// The body of a policy: the whole of it, what is left out is at its default.
struct NewPolicy: StrictDecodable {
    static let fields: Set<String> = ["development", "egress"]
    var development: Bool?
    var egress: Egress?

    struct Egress: Decodable {
        var cidrs: [String]?
        var allow: [String]?

        private enum CodingKeys: String, CodingKey, CaseIterable { case cidrs, allow }

        init(from decoder: any Decoder) throws {
            let all = try decoder.container(keyedBy: AnyKey.self)
            if let unknown = all.allKeys.first(where: { key in !CodingKeys.allCases.contains { $0.rawValue == key.stringValue } }) {
                throw Problem(.invalidRequest, "unknown field \"egress.\(unknown.stringValue.prefix(60))\"; known: allow, cidrs")
            }
            let container = try decoder.container(keyedBy: CodingKeys.self)
            cidrs = try container.decodeIfPresent([String].self, forKey: .cidrs)
            allow = try container.decodeIfPresent([String].self, forKey: .allow)
        }
    }

    private static let most = 256

    /// - Throws: `.invalidRequest` naming the first entry that is wrong.
    var policy: NamespacePolicy {
        get throws(Problem) {
            var policy = NamespacePolicy(development: development ?? false)
            guard (egress?.cidrs ?? []).count <= Self.most, (egress?.allow ?? []).count <= Self.most else {
                throw Problem(.invalidRequest, "a policy has at most \(Self.most) ranges and \(Self.most) names")
            }
            for text in egress?.cidrs ?? [] {
                guard let range = AddressRange(text) else {
                    throw Problem(.invalidRequest, "egress.cidrs: \"\(text.prefix(60))\" is no range like 10.20.0.0/16")
                }
                guard range.isNetwork else {
                    throw Problem(.invalidRequest, "egress.cidrs: \"\(text.prefix(60))\" has bits set beyond its prefix; which is meant?")
                }
                policy.egress.cidrs.append(range)
            }
            for text in egress?.allow ?? [] {
                do throws(EgressEntry.Fault) {
                    policy.egress.allow.append(try EgressEntry.parse(text))
                } catch {
                    throw Problem(.invalidRequest, "egress.allow: \(error.what); \(error.fix)")
                }
            }
            policy.egress.allow = Array(Set(policy.egress.allow)).sorted()
            return policy
        }
    }
}

/// Any key of an object, to find those that nobody knows.
struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

struct PolicyView: Encodable, Sendable {
    var development: Bool
    var egress: Egress

    struct Egress: Encodable, Sendable {
        var cidrs: [String]
        var allow: [String]
    }

    init(_ policy: NamespacePolicy) {
        development = policy.development
        egress = Egress(cidrs: policy.egress.cidrs.map(\.description), allow: policy.egress.allow.map(\.description))
    }
}
