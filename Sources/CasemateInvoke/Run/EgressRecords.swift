import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import Logging
import Synchronization

/// What every function did with its network since the server started; it outlives revisions and instances.
package final class EgressRecords: Sendable {
    package let network: EgressNetwork
    private let policies: NamespacePolicies
    private let logs: LogStore
    private let audit: AuditLog
    private let logger: Logger
    private let records: Mutex<[FunctionId: EgressRecord]> = Mutex([:])

    package init(network: EgressNetwork, policies: NamespacePolicies, logs: LogStore, audit: AuditLog, logger: Logger) {
        self.network = network
        self.policies = policies
        self.logs = logs
        self.audit = audit
        self.logger = logger
    }

    package func record(of function: FunctionId) -> EgressRecord {
        records.withLock { records in
            if let known = records[function] { return known }
            let made = EgressRecord(limits: network.limits.perFunction, totals: network.totals)
            records[function] = made
            return made
        }
    }

    /// The function is gone.
    package func forget(_ function: FunctionId) { records.withLock { $0[function] = nil } }

    /// What one instance of the revision may reach.
    func rules(
        of function: Deployed, revision: Int, hosts: [AllowedHost], peers: any EgressPeers, injections: Injections?, secrets: Redactor
    ) -> EgressRules {
        let (policies, logs, audit, logger) = (policies, logs, audit, logger)
        return EgressRules(
            owner: function.name.description, hosts: hosts, listed: { policies.listed(function.namespaceId) },
            record: record(of: function.id), peers: peers, injections: injections, secrets: secrets
        ) { refused in
            logs.append([.platform("egress refused: \(refused.detail)", at: .now)], to: function.id)
            audit.note(
                AuditEvent(
                    .egressDenied, function.auditScope, outcome: .refused,
                    actor: "function:\(function.id)",
                    ["target": "\(refused.target)", "reason": refused.reason.rawValue, "revision": "\(revision)"]))
            logger.notice(
                "egress refused",
                metadata: [
                    "function": "\(function.name)", "revision": "\(revision)", "target": "\(refused.target)",
                    "reason": "\(refused.reason.rawValue)",
                ])
        }
    }
}
