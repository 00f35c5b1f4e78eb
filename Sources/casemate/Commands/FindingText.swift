import CasemateModel

/// Findings for people: what, where, what to do, and by which name it can be waived.
enum FindingText {
    /// - Parameter function: for the names; nil where there is none to waive for.
    static func show(_ diagnostics: [Diagnostic], of function: String?) {
        for diagnostic in diagnostics {
            guard let finding = diagnostic.finding else {
                Terminal.line("  \(Terminal.visible(diagnostic.description))")
                continue
            }
            let place = diagnostic.line.map { "\(diagnostic.file):\($0)" } ?? diagnostic.file
            Terminal.line("  \(level(diagnostic)) \(Terminal.visible("\(place): \(diagnostic.what)"))")
            if !diagnostic.fix.isEmpty { Terminal.line("           \(Terminal.visible(diagnostic.fix))") }
            if let line = finding.enforcedBy { Terminal.line("           in casemate.yaml: \(Terminal.visible(line))") }
            if let waiver = finding.waiver {
                Terminal.line("           waived until \(waiver.expires) by \(Terminal.visible("\(waiver.by): \(waiver.reason)"))")
            }
            let name = function.map { "\($0)#\(finding.id)" } ?? finding.id.text
            Terminal.line("           \(finding.rule)\(finding.guarantee.map { ", \($0)" } ?? "")  \(name)")
        }
    }

    private static func level(_ diagnostic: Diagnostic) -> String {
        let level = diagnostic.finding?.level ?? .low
        let padded = level.rawValue.padding(toLength: 8)
        guard diagnostic.severity == .error else { return Terminal.coloured(padded, .yellow) }
        return Terminal.coloured(padded, .red)
    }
}

extension String {
    fileprivate func padding(toLength length: Int) -> String { self + String(repeating: " ", count: max(0, length - count)) }
}
