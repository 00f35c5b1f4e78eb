import CasemateModel
import CasemateServer
import Foundation

/// Findings as a log of the Static Analysis Results Interchange Format, version 2.1.0 (OASIS), as code hosts take it.
enum SARIF {
    static func bytes(_ findings: [Diagnostic]) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(Log(findings)))
    }

    private struct Log: Encodable {
        let version = "2.1.0"
        let schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
        let runs: [Run]

        enum CodingKeys: String, CodingKey {
            case version, runs
            case schema = "$schema"
        }

        init(_ findings: [Diagnostic]) { runs = [Run(findings)] }
    }

    private struct Run: Encodable {
        let tool: Tool
        let results: [Result]
        let columnKind = "utf16CodeUnits"

        init(_ findings: [Diagnostic]) {
            var rules: [Rule] = []
            for finding in findings where !rules.contains(where: { $0.id == finding.rule }) { rules.append(Rule(finding)) }
            tool = Tool(driver: Driver(rules: rules))
            results = findings.map(Result.init)
        }
    }

    private struct Tool: Encodable { let driver: Driver }

    private struct Driver: Encodable {
        let name = "casemate"
        let semanticVersion = CasemateVersion.text
        let rules: [Rule]
    }

    private struct Text: Encodable { let text: String }

    private struct Rule: Encodable {
        let id: String
        let shortDescription: Text
        let help: Text
        let properties: Properties

        struct Properties: Encodable {
            let tags: [String]
            /// As code hosts rank it: 0 to 10.
            let severity: String
            enum CodingKeys: String, CodingKey {
                case tags
                case severity = "security-severity"
            }
        }

        init(_ finding: Diagnostic) {
            id = finding.rule
            shortDescription = Text(text: finding.rule)
            help = Text(text: finding.fix.isEmpty ? finding.what : finding.fix)
            let scores: [FindingDetail.Level: String] = [.low: "2.0", .medium: "5.0", .high: "8.0", .critical: "9.5"]
            properties = Properties(
                tags: ["security"] + (finding.finding?.guarantee.map { [$0] } ?? []),
                severity: scores[finding.finding?.level ?? .low] ?? "2.0")
        }
    }

    private struct Result: Encodable {
        let ruleId, level: String
        let message: Text
        let locations: [Location]
        let partialFingerprints: [String: String]

        init(_ finding: Diagnostic) {
            ruleId = finding.rule
            level = finding.severity == .error ? "error" : finding.finding?.level == .low ? "note" : "warning"
            let enforced = finding.finding?.enforcedBy.map { " In casemate.yaml: \($0)" } ?? ""
            message = Text(text: finding.what + (finding.fix.isEmpty ? "" : "; \(finding.fix).") + enforced)
            locations = [Location(finding)]
            partialFingerprints = finding.finding.map { ["casemate/v1": $0.id.text] } ?? [:]
        }
    }

    private struct Location: Encodable {
        let physicalLocation: Physical

        struct Physical: Encodable {
            let artifactLocation: Artifact
            let region: Region?
        }
        struct Artifact: Encodable { let uri: String }
        struct Region: Encodable { let startLine: Int }

        init(_ finding: Diagnostic) {
            // A path is no URI: what stands for something else in one is encoded (RFC 3986 §3.3).
            let uri = finding.file.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? finding.file
            physicalLocation = Physical(artifactLocation: Artifact(uri: uri), region: finding.line.map { Region(startLine: max(1, $0)) })
        }
    }
}

extension Diagnostic {
    /// What it is an instance of; a manifest's faults have one for all.
    fileprivate var rule: String { finding?.rule ?? "manifest/fault" }
}
