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
    /// How long the handler took to load; nil when it could not be.
    public let loadInMilliseconds: Int?

    fileprivate init(_ subject: ScanSubject) {
        bundle = subject.bundle
        spec = subject.spec
        findings = subject.findings
        loadInMilliseconds = subject.loadInMilliseconds
    }
}

/// The gate: a list of checks over a bundle, each in a sandbox. A finding of severity error stops the deployment.
struct Scan {
    let checks: [any ScanCheck]

    /// - Throws: `.gateFailed` with all findings, or a check's own problem.
    func callAsFunction(_ bundle: Bundle) async throws -> ScannedBundle {
        var subject = ScanSubject(bundle: bundle, spec: bundle.planned.manifest.spec, findings: [])
        for check in checks {
            try await check.examine(&subject)
            let errors = subject.findings.filter { $0.severity == .error }
            if !errors.isEmpty { throw Problem(.gateFailed, "the bundle has \(errors.count) finding(s)", diagnostics: subject.findings) }
        }
        return ScannedBundle(subject)
    }
}

/// What the checks look at and add to.
struct ScanSubject: Sendable {
    let bundle: Bundle
    var spec: FunctionSpec
    var findings: [Diagnostic]
    var loadInMilliseconds: Int?
}

/// One check with one job. Its order in the list is its order in time.
protocol ScanCheck: Sendable {
    func examine(_ subject: inout ScanSubject) async throws
}
