import CasemateModel

/// What a manifest asks for that takes a second look: each default that it relaxes is a finding, on the deployment, on the function and in
/// its posture.
public enum ManifestRisks {
    /// - Parameter file: the manifest's name, as the person gave it.
    public static func findings(in spec: FunctionSpec, file: String, lines: ManifestLines = ManifestLines()) -> [Diagnostic] {
        var risks: [Risk] = []
        for (name, value) in spec.environment.sorted(by: { $0.key < $1.key }) where SecretLooks.areThere(name, value) {
            risks.append(
                Risk(
                    "environment-secret", .high, line: lines.environment[name], subject: name.text, guarantee: "SCW-5",
                    enforcedBy: "secrets: [\(name)]",
                    what: "\(name) looks like a secret, and env is stored and shown as it is",
                    fix: "move it to secrets, and set it: casemate secret set NAMESPACE/FUNCTION \(name)"))
        }
        if spec.access == .public {
            risks.append(
                Risk(
                    "public", .medium, line: lines.access, subject: "access", enforcedBy: "access: private",
                    what: "access is public: anyone who can reach the gateway may call it",
                    fix: "make it private, and give tokens to those who call it: casemate token create"))
        }
        for host in spec.reachable(granted: Set(spec.grantedEgress ?? [])) where host.isWide {
            risks.append(
                Risk(
                    "wide-egress", .medium, line: lines.egress, subject: "\(host)", enforcedBy: "egress: [\"api.example.com:443\"]",
                    what: "it may reach \(host), which is more than one host",
                    fix: "list the hosts that it needs; casemate egress shows which it used"))
        }
        if spec.secretsInResponse == .allow {
            risks.append(
                Risk(
                    "secrets-in-response", .medium, line: lines.secretsInResponse, subject: "secretsInResponse",
                    enforcedBy: "secretsInResponse: redact", what: "it may answer with its secrets (secretsInResponse: allow)",
                    fix: "leave it at redact, unless handing them out is its purpose"))
        }
        return risks.compactMap { $0.finding(in: file) }
    }

    private struct Risk {
        let rule: String
        let level: FindingDetail.Level
        let line: Int?
        let subject, guarantee, enforcedBy, what, fix: String

        init(
            _ rule: String, _ level: FindingDetail.Level, line: Int?, subject: String, guarantee: String = "AZR-23", enforcedBy: String,
            what: String, fix: String
        ) {
            self.rule = "manifest/\(rule)"
            self.level = level
            self.line = line
            self.subject = subject
            self.guarantee = guarantee
            self.enforcedBy = enforcedBy
            self.what = what
            self.fix = fix
        }

        func finding(in file: String) -> Diagnostic? {
            // A manifest's file may have any name: the finding is the same.
            guard let id = FindingId.of("manifest", rule, file: "casemate.yaml", subject: subject) else { return nil }
            return Diagnostic(
                level.blocks ? .error : .warning, file: file, line: line, what: what, fix: fix,
                finding: FindingDetail(
                    id: id, check: "manifest", rule: rule, level: level, guarantee: guarantee, enforcedBy: enforcedBy))
        }
    }
}
