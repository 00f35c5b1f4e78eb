import CasemateModel
import Foundation

/// What became of each function, in the form that test reports have: pipelines show it beside the tests.
///
/// Source: the JUnit XML format as testmoo documents it, which GitHub's, GitLab's and Jenkins' readers share.
enum JUnitReport {
    /// A suite for each function: its deployment, and each finding.
    static func text(_ functions: [DeployedFunction]) -> String {
        var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"casemate\">\n"
        for function in functions {
            let findings = function.diagnostics.filter { $0.finding != nil }
            let failures = (function.hasFailed ? 1 : 0) + findings.filter { $0.severity == .error }.count
            out += "  <testsuite name=\"\(escaped(function.function))\" tests=\"\(findings.count + 1)\" failures=\"\(failures)\""
            out += " skipped=\"\(function.isWaiting ? 1 : 0)\""
            out += " time=\"\(Double(function.milliseconds) / 1000)\">\n"
            out += testCase(
                "deployment", in: function.function, failure: function.hasFailed ? function.failure : nil,
                skipped: function.isWaiting ? "waits for an approval" : nil)
            for finding in findings {
                let place = finding.file + (finding.line.map { ":\($0)" } ?? "")
                let isFailure = finding.severity == .error
                out += testCase(
                    "\(finding.finding?.rule ?? "finding") \(place)", in: function.function,
                    failure: isFailure ? (finding.what, finding.fix) : nil)
            }
            out += "  </testsuite>\n"
        }
        return out + "</testsuites>\n"
    }

    private static func testCase(
        _ name: String, in suite: String, failure: (what: String, detail: String)?, skipped: String? = nil
    ) -> String {
        let head = "    <testcase name=\"\(escaped(name))\" classname=\"\(escaped(suite))\""
        if let skipped { return head + ">\n      <skipped message=\"\(escaped(skipped))\"/>\n    </testcase>\n" }
        guard let failure else { return head + "/>\n" }
        return head + ">\n      <failure message=\"\(escaped(failure.what))\">\(escaped(failure.detail))</failure>\n    </testcase>\n"
    }

    /// XML 1.0 §2.2 and §2.4: what is no character of XML is left out.
    private static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "\n": out += "&#10;"
            case "\t": out += "&#9;"
            case _ where scalar.value < 0x20 || (0xfffe...0xffff).contains(scalar.value): continue
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}

extension DeployedFunction {
    /// Also what this release does not know.
    var hasFailed: Bool { !["deployed", "unchanged", "planned", "pendingApproval"].contains(status) }
    var isWaiting: Bool { status == "pendingApproval" }

    /// What it failed with, and what its tools printed.
    var failure: (what: String, detail: String) {
        let all = diagnostics.map(\.description).joined(separator: "\n")
        return ("\(stage.map { "at \($0): " } ?? "")\(problem ?? status)", all + (output.map { "\n" + $0 } ?? ""))
    }
}
