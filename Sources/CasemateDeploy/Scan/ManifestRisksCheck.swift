import CasemateModel

/// Takes the manifest's risks among the findings.
struct ManifestRisksCheck: ScanCheck {
    func examine(_ subject: inout ScanSubject) async throws {
        let planned = subject.bundle.planned
        subject.findings += ManifestRisks.findings(in: subject.spec, file: planned.manifestFile, lines: planned.manifest.lines)
    }
}
