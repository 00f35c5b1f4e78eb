import CasemateModel
import CasemateStore
import CasemateVault
import Foundation

/// Has the gate's tools look through the bundle: hard-coded and stored secrets, risky code, key files, packages and their advisories. Lists
/// its packages on the way.
struct SourceCheck: ScanCheck {
    static let seconds = 180
    let records: Records
    let secrets: NamespaceSecrets
    let sandboxes: GateSandboxes
    let policies: NamespacePolicies

    func examine(_ subject: inout ScanSubject) async throws {
        let values = try await secrets.values(&subject)
        NamespaceSecrets.lookAtEnvironment(&subject, values)
        let bundle = subject.bundle
        let policy = policies.policy(of: bundle.planned.namespace.id).gate
        let request = try GateRequest.scan(subject, policy).bytes
        let known = records
        let told = subject.progress
        do {
            let (findings, components, sbom) = try await sandboxes.withSession(for: bundle.planned.namespace.id) { session in
                try await session.show(bundle.digest)
                let report = try GateReply.scan(
                    try await session.ask(request, secrets: values, within: Self.seconds) { told?(.check(GateReply.progress($0))) })
                let components = report.components.map { $0.asked(for: bundle) }
                let names = Set(components.map(\.name))
                let records = try await known.read { try $0.advisories(for: names) }
                let advisories =
                    records.isEmpty
                    ? []
                    : try GateReply.findings(
                        try await session.ask(
                            try GateRequest.match(components, records, policy).bytes, within: Self.seconds))
                let sbom = try await session.ask(
                    try GateRequest.sbom(bundle, components).bytes, within: Self.seconds, maximumBody: 8 << 20)
                return (report.findings + advisories, components, sbom)
            }
            subject.findings += findings
            subject.components = components
            subject.sbom = sbom
        } catch let refusal as GateRefusal {
            throw Problem(.gateFailed, "the bundle could not be searched: \(refusal.why)")
        }
    }
}

extension Component {
    /// With the place where the source asks for it.
    fileprivate func asked(for bundle: Bundle) -> Component {
        guard let place = bundle.direct.first(where: { $0.name == name }) else { return self }
        var component = self
        (component.direct, component.file, component.line) = (true, place.file, place.line)
        return component
    }
}
