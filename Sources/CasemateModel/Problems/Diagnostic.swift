/// One fault of a person's document: where, what, and what to do about it.
public struct Diagnostic: Hashable, Sendable, Codable, CustomStringConvertible {
    public enum Severity: String, Codable, Sendable { case error, warning }

    public var severity: Severity
    /// As the person named it: `casemate.yaml`.
    public var file: String
    /// From 1; nil when it concerns the whole file.
    public var line: Int?
    public var what: String
    public var fix: String
    /// Set where the gate found it.
    public var finding: FindingDetail?

    public init(
        _ severity: Severity = .error, file: String, line: Int? = nil, what: String, fix: String = "",
        finding: FindingDetail? = nil
    ) {
        self.severity = severity
        self.file = file
        self.line = line
        self.what = what
        self.fix = fix
        self.finding = finding
    }

    /// `file:line: what; what to do`
    public var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return "\(place): \(severity == .warning ? "warning: " : "")\(what)\(fix.isEmpty ? "" : "; \(fix)")"
    }
}
