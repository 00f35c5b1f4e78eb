import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire

/// A bundle that the gate let pass. Made only by `Scan`.
public struct ScannedBundle: Sendable {
    public let bundle: Bundle
    /// The spec as it will be signed: with the signature that the handler turned out to have.
    public let spec: FunctionSpec
    public let findings: [Diagnostic]
    /// Its packages.
    public let components: [Component]
    /// CycloneDX 1.6, JSON.
    public let sbom: [UInt8]?
    /// How long the handler took to load; nil when it could not be.
    public let loadInMilliseconds: Int?

    fileprivate init(_ subject: ScanSubject) {
        bundle = subject.bundle
        spec = subject.spec
        findings = subject.findings
        components = subject.components
        sbom = subject.sbom
        loadInMilliseconds = subject.loadInMilliseconds
    }
}

/// The gate: a list of checks over a bundle. What they find together stops the deployment from severity high on, unless it is waived;
/// only then is anything of the bundle run.
struct Scan {
    let records: Records
    /// Nothing of the bundle runs in these.
    let checks: [any ScanCheck]
    /// Its code runs in these.
    let running: [any ScanCheck]

    /// - Throws: `.gateFailed` with all findings, or a check's own problem.
    func callAsFunction(_ bundle: Bundle, progress: DeployProgress.Teller?) async throws -> ScannedBundle {
        var subject = ScanSubject(
            bundle: bundle, spec: bundle.planned.manifest.spec, progress: progress, findings: bundle.planned.findings)
        for check in checks { try await check.examine(&subject) }
        try await decide(&subject)
        for check in running { try await check.examine(&subject) }
        return ScannedBundle(subject)
    }

    /// The gravest of a refused deployment; what is mended makes room for others.
    private static let mostKept = 500

    private func decide(_ subject: inout ScanSubject) async throws {
        let (namespace, label) = (subject.bundle.planned.namespace.id, subject.bundle.planned.name.function)
        let waivers = try await records.read { try $0.waivers(in: namespace, of: label) }
        subject.findings = Waive.findings(subject.findings, by: waivers, at: .now).sorted(by: Self.isGraver)
        let blocking = subject.findings.filter { $0.severity == .error }
        // What is refused stays where whoever may waive it finds it.
        let report = blocking.isEmpty ? nil : GateReport(findings: Array(subject.findings.prefix(Self.mostKept)), created: .now)
        try await records.write { try $0.set(report, of: label, in: namespace) }
        guard blocking.isEmpty else {
            throw Problem(
                .gateFailed, "the gate found \(blocking.count) fault(s) that must be mended first", diagnostics: subject.findings)
        }
    }

    private static func isGraver(_ left: Diagnostic, _ right: Diagnostic) -> Bool {
        func level(_ diagnostic: Diagnostic) -> FindingDetail.Level {
            diagnostic.finding?.level ?? (diagnostic.severity == .error ? .high : .low)
        }
        if left.severity != right.severity { return left.severity == .error }
        if level(left) != level(right) { return level(left) > level(right) }
        return (left.file, left.line ?? 0, left.what) < (right.file, right.line ?? 0, right.what)
    }
}

/// What the checks look at and add to.
struct ScanSubject: Sendable {
    let bundle: Bundle
    var spec: FunctionSpec
    let progress: DeployProgress.Teller?
    var findings: [Diagnostic] = []
    var components: [Component] = []
    var sbom: [UInt8]?
    var loadInMilliseconds: Int?
}

/// One check with one job. Its order in the list is its order in time.
protocol ScanCheck: Sendable {
    func examine(_ subject: inout ScanSubject) async throws
}
