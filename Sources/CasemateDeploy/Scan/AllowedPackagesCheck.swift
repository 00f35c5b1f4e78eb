import CasemateModel

/// Refuses packages that the namespace's policy does not take, also those that others need.
struct AllowedPackagesCheck: ScanCheck {
    func examine(_ subject: inout ScanSubject) async throws {
        let planned = subject.bundle.planned
        subject.findings += subject.components.compactMap { component in
            guard !planned.packages.mayHold(component.name),
                let id = FindingId.of("packages", "packages/not-allowed", file: component.file ?? "", subject: component.name)
            else { return nil }
            let needed = component.direct ? "" : ", which another package needs,"
            return Diagnostic(
                .error, file: component.file ?? planned.manifestFile, line: component.line,
                what: "\(component.name) \(component.version)\(needed) is not among the packages that \(planned.name.namespace) takes",
                fix: "do without it, or have it listed in the namespace's policy: gate.packages",
                finding: FindingDetail(
                    id: id, check: "packages", rule: "packages/not-allowed", level: .high, guarantee: "COG-19", package: component.purl))
        }
    }
}
