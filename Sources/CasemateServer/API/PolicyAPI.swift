import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

extension APIServices {
    var policyRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/policy", needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                return .json(PolicyView(try await records.read { try $0.policy(of: namespace.id) }))
            },
            APIRoute(.put, "/v1/namespaces/{namespace}/policy", needs: .right(.policyWrite)) { request in
                let policy = try Self.policy(try await request.body(limit: 1 << 20))
                let namespace = try await namespace(try request.namespace())
                try await set(policy, of: namespace, for: request)
                return .json(PolicyView(policy))
            },
        ]
    }
}

extension APIServices {
    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func policy(_ bytes: [UInt8]) throws -> NamespacePolicy {
        let body: NewPolicy = try StrictJSON.decode(bytes)
        return try body.policy
    }

    /// What takes more than the right to write a policy.
    private static func mayReplace(
        _ before: NamespacePolicy, by policy: NamespacePolicy, of namespace: Namespace, _ request: APIRequest
    ) throws(Problem) {
        try mayList(policy.egress.allow, request.principal.rights, on: .namespace(namespace.id))
        // With a range a name may lead into the machine's own network: as much as an address.
        if let range = policy.egress.cidrs.first(where: { !before.egress.cidrs.contains($0) }) {
            try request.require(.egressAddress, on: .namespace(namespace.id), for: "to let names lead to \(range)")
        }
        // Each call a record on the server's disk, which nobody ever deletes.
        if policy.calls != .unrecorded, policy.calls != before.calls {
            try request.require(.platformAdmin, on: .platform, for: "to have every call recorded")
        }
        // Whoever may not let a finding pass may not have the gate find less.
        if let loosened = policy.gate.loosened(from: before.gate).first {
            try request.require(.gateWaive, on: .namespace(namespace.id), for: "to loosen gate.\(loosened)")
        }
        // Who may not approve may not do without approvals either, nor say whose signature counts.
        if let loosened = policy.supplyChain.loosened(from: before.supplyChain).first {
            try request.require(.deployApprove, on: .namespace(namespace.id), for: "to loosen supplyChain.\(loosened)")
        }
        // What is not kept is gone for good.
        if policy.keepRevisions < before.keepRevisions {
            try request.require(.deployApprove, on: .namespace(namespace.id), for: "to keep fewer revisions")
        }
        // What the server can get with its own credentials is not a namespace's to hand out.
        if let pattern = policy.secretSources.first(where: { !before.secretSources.contains($0) }) {
            try request.require(.platformAdmin, on: .platform, for: "to let functions have \(pattern)")
        }
    }

    /// What is another now, what matters most first: no long list pushes it out of the record.
    private static func changes(_ before: NamespacePolicy, _ after: NamespacePolicy) -> [String] {
        func list<T: Equatable>(_ name: String, _ old: [T], _ new: [T]) -> [String] {
            new.filter { !old.contains($0) }.map { "+\(name):\($0)" } + old.filter { !new.contains($0) }.map { "-\(name):\($0)" }
        }
        var changes: [String] = []
        if before.calls != after.calls { changes.append("calls=\(after.calls.rawValue)") }
        if before.refusesWeakSecrets != after.refusesWeakSecrets { changes.append("refusesWeakSecrets=\(after.refusesWeakSecrets)") }
        if before.development != after.development { changes.append("development=\(after.development)") }
        if before.rate != after.rate { changes.append("rate") }
        // No list lets all of them, an empty one none.
        let (machines, now) = (before.machines, after.machines)
        if (machines.signers == nil) != (now.signers == nil) || (machines.capabilities == nil) != (now.capabilities == nil) {
            changes.append("machines")
        }
        if before.keepRevisions != after.keepRevisions { changes.append("keepRevisions=\(after.keepRevisions)") }
        if before.queue != after.queue { changes.append("queue") }
        if before.logRetentionInDays != after.logRetentionInDays {
            changes.append("logRetentionInDays=\(after.logRetentionInDays.map(String.init) ?? "")")
        }
        changes += after.supplyChain.changes(from: before.supplyChain)
        changes += after.gate.changes(from: before.gate)
        changes += list("secretSources", before.secretSources, after.secretSources)
        changes += list("egress.cidrs", before.egress.cidrs, after.egress.cidrs)
        changes += list("machines.signers", before.machines.signers ?? [], after.machines.signers ?? [])
        changes += list("machines.capabilities", before.machines.capabilities ?? [], after.machines.capabilities ?? [])
        return changes + list("egress.allow", before.egress.allow, after.egress.allow)
    }

    private func set(_ policy: NamespacePolicy, of namespace: Namespace, for request: APIRequest) async throws {
        let principal = request.principal
        // In memory within the transaction, so that two changes end in the same order in both.
        do {
            try await records.write { transaction in
                let before = try transaction.policy(of: namespace.id)
                try Self.mayReplace(before, by: policy, of: namespace, request)
                try transaction.set(
                    policy, of: namespace.id, by: DeployAuthor(subject: principal.subject, identity: principal.identity))
                transaction.record(.policyChanged, namespace.auditScope, AuditEvent.listed("changed", Self.changes(before, policy)))
                policies.set(policy, of: namespace.id)
            }
        } catch {
            policies.load(try await records.read { try $0.policies() })
            throw error
        }
        let functions = try await records.read { try $0.functions(in: namespace.id) }
        // What was taken is gone with this, whatever becomes of the revisions.
        for function in functions { try await catalog.reload(function.id) }
        var failed: [String] = []
        for function in functions {
            do { try await applyGrants(to: function.name, by: principal) } catch { failed.append("\(function.name)") }
        }
        guard failed.isEmpty else {
            throw Problem(.conflict, "the policy holds, but what it adds has not reached \(failed.joined(separator: ", ")); set it again")
        }
    }
}

/// The body of a policy: the whole of it, what is left out is at its default.
struct NewPolicy: StrictDecodable {
    static let fields: Set<String> = [
        "development", "egress", "rate", "machines", "calls", "refusesWeakSecrets", "secretSources", "gate", "supplyChain", "keepRevisions",
        "queue", "logRetentionInDays",
    ]
    var development: Bool?
    var egress: Egress?
    var rate: [String: String]?
    var machines: [String: [String]]?
    /// Which calls the audit log has.
    var calls: String?
    var refusesWeakSecrets: Bool?
    var secretSources: [String]?
    var gate: NewGatePolicy?
    var supplyChain: NewSupplyChainPolicy?
    var keepRevisions: Int?
    var queue: NewQueueLimits?
    var logRetentionInDays: Int?

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
            policy.rate = try rateLimits
            policy.machines = try machineLimits
            if let calls {
                guard let known = NamespacePolicy.CallRecords(rawValue: calls) else {
                    throw Problem(.invalidRequest, "calls: unrecorded, recorded, or required (a call that can't be recorded does not run)")
                }
                policy.calls = known
            }
            policy.refusesWeakSecrets = refusesWeakSecrets ?? false
            guard (secretSources ?? []).count <= Self.most else {
                throw Problem(.invalidRequest, "secretSources has at most \(Self.most) entries")
            }
            policy.secretSources = try (secretSources ?? []).map { text throws(Problem) in
                guard let pattern = SecretSourcePattern(text) else {
                    throw Problem(
                        .invalidRequest,
                        "secretSources: \"\(text.prefix(60))\" is none; name one like aws-sm://prod/db, or all below: aws-sm://plant/*")
                }
                return pattern
            }.sorted()
            policy.gate = try gate?.policy ?? GatePolicy()
            policy.supplyChain = try supplyChain?.policy ?? SupplyChainPolicy()
            if let keepRevisions {
                guard NamespacePolicy.keepRange.contains(keepRevisions) else {
                    let range = NamespacePolicy.keepRange
                    throw Problem(.invalidRequest, "keepRevisions: \(range.lowerBound) to \(range.upperBound)")
                }
                policy.keepRevisions = keepRevisions
            }
            policy.queue = try queue?.limits ?? QueueLimits()
            if let logRetentionInDays {
                let range = NamespacePolicy.logRetentionRange
                guard range.contains(logRetentionInDays) else {
                    throw Problem(.invalidRequest, "logRetentionInDays: \(range.lowerBound) to \(range.upperBound)")
                }
                policy.logRetentionInDays = logRetentionInDays
            }
            policy.egress.allow = Array(Set(policy.egress.allow)).sorted()
            return policy
        }
    }

    private var machineLimits: NamespacePolicy.Machines {
        get throws(Problem) {
            var limits = NamespacePolicy.Machines()
            for (name, entries) in (machines ?? [:]).sorted(by: { $0.key < $1.key }) {
                guard entries.count <= Self.most else {
                    throw Problem(.invalidRequest, "machines.\(name.prefix(60)) has at most \(Self.most) entries")
                }
                switch name {
                case "signers":
                    guard
                        entries.allSatisfy({
                            $0.utf8.count == 64 && $0.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
                        })
                    else {
                        throw Problem(.invalidRequest, "machines.signers: fingerprints of 64 hexadecimal digits, as trust sheets show them")
                    }
                    limits.signers = Array(Set(entries)).sorted()
                case "capabilities":
                    var capabilities: Set<Capability> = []
                    for text in entries {
                        guard let capability = Capability(text) else {
                            throw Problem(.invalidRequest, "machines.capabilities: \"\(text.prefix(60))\" is none; \(Capability.rule)")
                        }
                        capabilities.insert(capability)
                    }
                    limits.capabilities = capabilities.sorted()
                default:
                    throw Problem(.invalidRequest, "unknown field \"machines.\(name.prefix(60))\"; known: capabilities, signers")
                }
            }
            return limits
        }
    }

    private var rateLimits: RateLimits {
        get throws(Problem) {
            var limits = RateLimits()
            for (name, text) in (rate ?? [:]).sorted(by: { $0.key < $1.key }) {
                guard let rate = Rate(text) else { throw Problem(.invalidRequest, "rate.\(name.prefix(60)): \(Rate.rule)") }
                switch name {
                case "function": limits.function = rate
                case "caller": limits.caller = rate
                case "address": limits.address = rate
                default:
                    throw Problem(.invalidRequest, "unknown field \"rate.\(name.prefix(60))\"; known: address, caller, function")
                }
            }
            return limits
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
    var rate: RateLimits
    var machines: NamespacePolicy.Machines
    var calls: NamespacePolicy.CallRecords
    var refusesWeakSecrets: Bool
    var secretSources: [SecretSourcePattern]
    var gate: GatePolicy
    var supplyChain: SupplyChainView
    var keepRevisions: Int
    var queue: QueueLimits
    /// Absent where the server's own setting counts.
    var logRetentionInDays: Int?

    struct Egress: Encodable, Sendable {
        var cidrs: [String]
        var allow: [String]
    }

    init(_ policy: NamespacePolicy) {
        development = policy.development
        rate = policy.rate
        machines = policy.machines
        calls = policy.calls
        refusesWeakSecrets = policy.refusesWeakSecrets
        secretSources = policy.secretSources
        gate = policy.gate
        supplyChain = SupplyChainView(policy.supplyChain)
        keepRevisions = policy.keepRevisions
        queue = policy.queue
        logRetentionInDays = policy.logRetentionInDays
        egress = Egress(cidrs: policy.egress.cidrs.map(\.description), allow: policy.egress.allow.map(\.description))
    }
}
