import CasemateModel

/// `gate`: an author's own checks.
extension ManifestReader {
    mutating func checks(_ field: Field, _ lines: inout ManifestLines) -> [UserCheck]? {
        guard let fields = fields(of: field.node, at: Place(field), known: UserCheck.Kind.allCases.map(\.rawValue)) else { return nil }
        var checks: [UserCheck] = []
        for kind in UserCheck.Kind.allCases {
            guard let field = fields[kind.rawValue], let command = text(field), let words = words(of: command, kind, field) else {
                continue
            }
            checks.append(UserCheck(kind: kind, words: words))
            lines.checks[kind] = field.line
        }
        return checks.isEmpty ? nil : checks
    }

    private mutating func words(of command: String, _ kind: UserCheck.Kind, _ field: Field) -> [String]? {
        let tools = UserCheck.tools(of: kind)
        guard let words = UserCheck.words(of: command) else {
            faults.error(field.line, "\(field.path) has a quote that is not closed", fix: "close it")
            return nil
        }
        guard let tool = words.first, tools.contains(tool) else {
            faults.error(
                field.line, "\(field.path) begins with no tool for it", fix: "write \(tools.joined(separator: " or ")), and what it is told"
            )
            return nil
        }
        guard words.count <= UserCheck.mostWords else {
            faults.error(
                field.line, "\(field.path) has more than \(UserCheck.mostWords) words", fix: "put settings into the tool's own file")
            return nil
        }
        return words
    }
}
