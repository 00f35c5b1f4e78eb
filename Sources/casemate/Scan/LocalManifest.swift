import CasemateDeploy
import CasemateModel
import Foundation

/// A project's casemate.yaml, if it has one: its faults, its risks, and where its functions' sources lie.
struct LocalManifest {
    struct Source: Encodable {
        var path: String
        var function: String
        var handler: String
    }

    private(set) var sources: [Source] = []
    private(set) var findings: [Diagnostic] = []

    init(root: String) throws {
        let file = "casemate.yaml"
        guard let data = FileManager.default.contents(atPath: root + "/" + file) else { return }
        guard data.count <= 1 << 20, let text = String(data: data, encoding: .utf8) else {
            throw CommandFailure("\(file): the manifest is larger than 1 MiB, or not UTF-8 text", code: 2)
        }
        do {
            let manifest = try ManifestParser.parse(text, file: file)
            findings = manifest.warnings
            for function in manifest.functions {
                findings += ManifestRisks.findings(in: function.spec, file: file, lines: function.lines)
                // What lies in a repository is scanned where that is.
                guard let source = function.source else { continue }
                sources.append(
                    Source(path: source, function: function.label.text, handler: function.spec.handler))
            }
        } catch {
            findings = error.diagnostics
        }
    }
}
