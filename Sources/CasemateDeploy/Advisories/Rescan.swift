import CasemateModel
import CasemateStore
import Logging

/// Holds what is live against the advisories again: when new ones are imported, and each day. What it finds is stored with the revision; a
/// new grave one is an event, and where the namespace's policy says so the function's calls stop.
public actor Rescan {
    private let records: Records
    private let sandboxes: GateSandboxes
    private let policies: NamespacePolicies
    private let logger: Logger
    /// Tells the calling side of a function that is disabled.
    private let changed: @Sendable (FunctionId) async throws -> Void
    private static let seconds = 300

    public init(
        records: Records, sandboxes: GateSandboxes, policies: NamespacePolicies, logger: Logger,
        changed: @Sendable @escaping (FunctionId) async throws -> Void
    ) {
        self.records = records
        self.sandboxes = sandboxes
        self.policies = policies
        self.logger = logger
        self.changed = changed
    }

    private struct Live: Sendable {
        let function: Function
        let revision: Revision
        let components: [Component]
        let before: [Diagnostic]
        let waivers: [Waiver]
    }

    /// - Returns: how many live functions have a grave advisory that nobody waived.
    @discardableResult
    public func callAsFunction() async throws -> Int {
        var affected = 0
        for namespace in try await records.read({ try $0.namespaces() }) {
            let live = try await live(in: namespace)
            guard !live.isEmpty else { continue }
            let policy = policies.policy(of: namespace.id).gate
            for (live, findings) in try await findings(for: live, in: namespace.id, policy) {
                let grave = findings.filter { $0.severity == .error }
                if !grave.isEmpty { affected += 1 }
                try await note(findings, grave, of: live, policy)
            }
        }
        return affected
    }

    private func live(in namespace: Namespace) async throws -> [Live] {
        try await records.read { transaction in
            try transaction.functions(in: namespace.id).compactMap { function in
                guard let revision = try function.activeRevision.flatMap({ try transaction.revision($0) }),
                    let components = try transaction.contents(of: revision.id).components
                else { return nil }
                // What it was deployed with is no news.
                let before =
                    try transaction.liveAdvisories(of: revision.id) ?? revision.findings.filter { $0.finding?.check == "advisories" }
                return Live(
                    function: function, revision: revision, components: components, before: before,
                    waivers: try transaction.waivers(in: namespace.id, of: function.name.function))
            }
        }
    }

    private func findings(for live: [Live], in namespace: NamespaceId, _ policy: GatePolicy) async throws -> [(Live, [Diagnostic])] {
        let packages = Set(live.flatMap { $0.components.map(\.name) })
        let advisories = try await records.read { try $0.advisories(for: packages) }
        guard !advisories.isEmpty else { return live.map { ($0, []) } }
        let bundles = Dictionary(uniqueKeysWithValues: live.map { ($0.revision.id.text, $0.components) })
        let request = try GateRequest.match(bundles, advisories, policy).bytes
        let found = try await sandboxes.withSession(for: namespace) { session in
            try GateReply.findingsByKey(try await session.ask(request, within: Self.seconds, maximumBody: 64 << 20))
        }
        return live.map { ($0, Waive.findings(found[$0.revision.id.text] ?? [], by: $0.waivers, at: .now)) }
    }

    private func note(_ findings: [Diagnostic], _ grave: [Diagnostic], of live: Live, _ policy: GatePolicy) async throws {
        // One whose waiver has ended is news again.
        let known = Set(live.before.filter { $0.severity == .error }.compactMap { $0.finding?.id })
        let new = grave.filter { $0.finding.map { !known.contains($0.id) } ?? false }
        let disables = !grave.isEmpty && policy.onAdvisory == .disable && live.function.disabled == nil
        let function = live.function
        try await records.write { transaction in
            guard try transaction.revision(live.revision.id) != nil else { return }
            try transaction.setLiveAdvisories(findings, grave: grave.count, of: live.revision.id, at: .now)
            if !new.isEmpty {
                transaction.record(
                    .functionVulnerable, function.auditScope,
                    AuditEvent.listed("advisories", new.compactMap { $0.finding?.rule }).merging(
                        ["revision": "\(live.revision.number)"]) { $1 })
            }
            if disables {
                try transaction.setDisabled("an advisory has come up for what it runs; see its findings", of: function.id)
                transaction.record(.functionDisabled, function.auditScope, ["by": "policy", "revision": "\(live.revision.number)"])
            }
        }
        for finding in new {
            logger.warning("a live function is vulnerable", metadata: ["function": "\(function.name)", "finding": "\(finding.what)"])
        }
        if disables { try await changed(function.id) }
    }
}
