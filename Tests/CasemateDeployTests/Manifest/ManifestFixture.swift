@testable import CasemateDeploy
import CasemateModel
import Testing

/// A sound function, `hello`, whose settings go on with `lines` from line 6 on.
func manifest(_ lines: String...) -> String { manifest(lines) }

func manifest(_ lines: [String]) -> String {
    """
    functions:
      hello:
        source: ./hello
        runtime: python3.11
        handler: handler.handle

    """ + lines.map { "    \($0)\n" }.joined()
}

/// What the parser says, each as `line: what; fix`, without the file's name; warnings alone for a sound manifest.
func diagnostics(_ text: String) -> [String] {
    let found: [Diagnostic]
    do {
        found = try ManifestParser.parse(text, file: "casemate.yaml").warnings
    } catch {
        found = error.diagnostics
    }
    return found.map { String($0.description.dropFirst("casemate.yaml:".count)) }
}

/// The spec of `hello` with these settings.
func spec(_ lines: String...) throws -> FunctionSpec {
    try ManifestParser.parse(manifest(lines), file: "casemate.yaml").functions[0].spec
}

/// A row of a table: what a person wrote, and all that they are told.
struct Answer: Sendable, CustomTestStringConvertible {
    var text: String
    var lines: [String]

    /// A whole file.
    init(_ text: String, _ lines: String...) {
        self.text = text
        self.lines = lines
    }

    /// Line 6 of a manifest.
    static func line6(_ line: String, _ answers: String...) -> Answer {
        var answer = Answer(manifest(line))
        answer.lines = answers.map { "6: \($0)" }
        return answer
    }

    var testDescription: String { String(text.suffix(60)) }
}
