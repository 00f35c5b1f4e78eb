/// What a deployment was held up for.
public struct GateReport: Sendable, Equatable {
    public var findings: [Diagnostic]
    public var created: Timestamp

    public init(findings: [Diagnostic], created: Timestamp) {
        self.findings = findings
        self.created = created
    }
}
