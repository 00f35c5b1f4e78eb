/// What holds for all functions of a namespace, whatever their manifests say. Set by whoever may `policy:write`.
public struct NamespacePolicy: Hashable, Sendable, Codable {
    /// Functions are tried out here: what was refused may be suggested as an entry.
    public var development: Bool
    public var egress: Egress
    /// What none of its functions is called more often than, each for itself.
    public var rate: RateLimits
    /// What machines may call here, of what they may call otherwise.
    public var machines: Machines
    /// Whether the audit log has each call that was made; those that were refused it has anyway.
    public var calls: CallRecords
    /// Secrets that are easy to guess, and are found only as whole words in what functions say, can't be set.
    public var refusesWeakSecrets: Bool
    /// Values kept elsewhere that its functions may have; the server's own credentials get them.
    public var secretSources: [SecretSourcePattern]
    public var gate: GatePolicy
    public var supplyChain: SupplyChainPolicy
    /// How many revisions of each function are kept, the newest; what is live, split, pinned or waits for an approval is kept besides.
    public var keepRevisions: Int

    /// What its asynchronous calls may take.
    public var queue: QueueLimits

    /// How long what its functions printed is kept, where that is shorter than the server's own setting; nil for as long.
    public var logRetentionInDays: Int?

    public static let logRetentionRange = 1...3650
    public static let keepRange = 2...1000

    public func mayUse(_ secret: ExternalSecret) -> Bool { secretSources.contains { $0.allows(secret) } }

    /// `required`: a call that can't be recorded does not run.
    public enum CallRecords: String, Hashable, Sendable, Codable, CaseIterable { case unrecorded, recorded, required }

    public init(
        development: Bool = false, egress: Egress = Egress(), rate: RateLimits = RateLimits(), machines: Machines = Machines(),
        calls: CallRecords = .unrecorded, refusesWeakSecrets: Bool = false, secretSources: [SecretSourcePattern] = [],
        gate: GatePolicy = GatePolicy(), supplyChain: SupplyChainPolicy = SupplyChainPolicy(), keepRevisions: Int = 20,
        queue: QueueLimits = QueueLimits(), logRetentionInDays: Int? = nil
    ) {
        self.queue = queue
        self.logRetentionInDays = logRetentionInDays
        self.supplyChain = supplyChain
        self.keepRevisions = keepRevisions
        self.gate = gate
        self.secretSources = secretSources
        self.calls = calls
        self.refusesWeakSecrets = refusesWeakSecrets
        self.machines = machines
        self.development = development
        self.egress = egress
        self.rate = rate
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        development = try container.decodeIfPresent(Bool.self, forKey: .development) ?? false
        egress = try container.decodeIfPresent(Egress.self, forKey: .egress) ?? Egress()
        rate = try container.decodeIfPresent(RateLimits.self, forKey: .rate) ?? RateLimits()
        machines = try container.decodeIfPresent(Machines.self, forKey: .machines) ?? Machines()
        calls = try container.decodeIfPresent(CallRecords.self, forKey: .calls) ?? .unrecorded
        secretSources = try container.decodeIfPresent([SecretSourcePattern].self, forKey: .secretSources) ?? []
        refusesWeakSecrets = try container.decodeIfPresent(Bool.self, forKey: .refusesWeakSecrets) ?? false
        gate = try container.decodeIfPresent(GatePolicy.self, forKey: .gate) ?? GatePolicy()
        supplyChain = try container.decodeIfPresent(SupplyChainPolicy.self, forKey: .supplyChain) ?? SupplyChainPolicy()
        keepRevisions = try container.decodeIfPresent(Int.self, forKey: .keepRevisions) ?? 20
        queue = try container.decodeIfPresent(QueueLimits.self, forKey: .queue) ?? QueueLimits()
        logRetentionInDays = try container.decodeIfPresent(Int.self, forKey: .logRetentionInDays)
    }

    /// Nobody asks a machine whether it trusts what it calls: these are its standing answer.
    public struct Machines: Hashable, Sendable, Codable {
        /// Keys, by the fingerprints that trust sheets show; nil for any.
        public var signers: [String]?
        /// What a revision may do for its callers, at most; nil for whatever it declares.
        public var capabilities: [Capability]?

        public init(signers: [String]? = nil, capabilities: [Capability]? = nil) {
            self.signers = signers
            self.capabilities = capabilities
        }

        public var isEmpty: Bool { signers == nil && capabilities == nil }

        /// Why a machine may not call a revision that `signer` signed; nil where it may.
        public func refusal(of declared: [Capability], signer: String) -> String? {
            if let signers, !signers.contains(signer) { return "it was signed with a key that the namespace's policy does not list" }
            guard let capabilities, let beyond = declared.first(where: { !capabilities.contains($0) }) else { return nil }
            return "it declares \(beyond), which the namespace's policy does not list for machines"
        }
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
