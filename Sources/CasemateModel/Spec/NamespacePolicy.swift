/// What holds for all functions of a namespace, whatever their manifests say. Set by whoever may `policy:write`.
public struct NamespacePolicy: Hashable, Sendable, Codable {
    /// Functions are tried out here: what was refused may be suggested as an entry.
    public var development: Bool
    public var egress: Egress
    /// What none of its functions is called more often than, each for itself.
    public var rate: RateLimits

    public init(development: Bool = false, egress: Egress = Egress(), rate: RateLimits = RateLimits()) {
        self.development = development
        self.egress = egress
        self.rate = rate
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        development = try container.decodeIfPresent(Bool.self, forKey: .development) ?? false
        egress = try container.decodeIfPresent(Egress.self, forKey: .egress) ?? Egress()
        rate = try container.decodeIfPresent(RateLimits.self, forKey: .rate) ?? RateLimits()
    }

    public struct Egress: Hashable, Sendable, Codable {
        /// Private or reserved ranges to which a listed name may lead.
        public var cidrs: [AddressRange]
        /// Names that every function of the namespace may reach.
        public var allow: [AllowedHost]

        public init(cidrs: [AddressRange] = [], allow: [AllowedHost] = []) {
            self.cidrs = cidrs
            self.allow = allow
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            cidrs = try container.decodeIfPresent([AddressRange].self, forKey: .cidrs) ?? []
            allow = try container.decodeIfPresent([AllowedHost].self, forKey: .allow) ?? []
        }
    }
}
