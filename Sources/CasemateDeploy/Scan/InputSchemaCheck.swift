import CasemateModel
import CasemateSchema

/// Takes the schemas that the source has for its calls' input into the spec, so that they are signed with it: what they say can be kept,
/// and what the manifest's schedules send is what they say.
struct InputSchemaCheck: ScanCheck {
    func examine(_ subject: inout ScanSubject) throws(Problem) {
        guard var schemas = subject.spec.inputSchema else { return }
        let planned = subject.bundle.planned
        var faults: [Diagnostic] = []
        for part in InputSchemas.Part.allCases {
            guard var file = schemas[part] else { continue }
            // What is promoted was built elsewhere, and has its texts.
            file.text = subject.bundle.schemas[file.path] ?? file.text
            guard let text = file.text else { throw Problem(.buildFailed, "the build did not tell what stands in \(file.path)") }
            schemas[part] = file
            do throws(SchemaFault) { _ = try InputSchema(Array(text.utf8)) } catch { faults.append(error.diagnostic(file: file.path)) }
        }
        if faults.isEmpty { faults = Self.refused(planned.manifest, by: schemas, manifest: planned.manifestFile) }
        guard faults.isEmpty else {
            throw Problem(.invalidManifest, "inputSchema, or what a trigger sends, has \(faults.count) fault(s)", diagnostics: faults)
        }
        subject.spec.inputSchema = schemas
    }

    /// The manifest's schedules whose calls would be refused.
    private static func refused(_ function: FunctionManifest, by schemas: InputSchemas, manifest: String) -> [Diagnostic] {
        (function.spec.schedules ?? []).compactMap { schedule in
            guard let refusal = try? schemas.refusal(ofSchedule: schedule.input.map { Array($0.utf8) } ?? []) else { return nil }
            return Diagnostic(
                file: manifest, line: function.lines.triggers, what: "trigger \(schedule.name): \(refusal.what)",
                fix: "send what inputSchema says")
        }
    }
}
