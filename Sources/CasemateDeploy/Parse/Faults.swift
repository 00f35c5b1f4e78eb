import CasemateModel

/// What is wrong with a person's file, collected so that they get it all in one answer.
struct Faults {
    /// A file of nothing but faults would otherwise be answered with many times its size.
    static let shown = 100

    let file: String
    /// Also of those that are not shown.
    private(set) var errorCount = 0
    private var found: [Diagnostic] = []
    private var known: Set<Diagnostic> = []
    private var further = 0

    init(file: String) { self.file = file }

    /// The texts are made only when there is room for them.
    mutating func error(_ line: Int?, _ what: @autoclosure () -> String, fix: @autoclosure () -> String) {
        errorCount += 1
        guard found.count < 10 * Self.shown else {
            further += 1
            return
        }
        add(Diagnostic(.error, file: file, line: line, what: what(), fix: fix()))
    }

    mutating func warning(_ line: Int?, _ what: String) {
        add(Diagnostic(.warning, file: file, line: line, what: what))
    }

    private mutating func add(_ diagnostic: Diagnostic) {
        if known.insert(diagnostic).inserted { found.append(diagnostic) }
    }

    /// By line, and on one line as they were found.
    var sorted: [Diagnostic] {
        let ordered = found.enumerated().sorted { ($0.element.line ?? 0, $0.offset) < ($1.element.line ?? 0, $1.offset) }.map(\.element)
        guard ordered.count > Self.shown else { return ordered }
        let rest = ordered.count - Self.shown + further
        return ordered.prefix(Self.shown)
            + [Diagnostic(.error, file: file, what: "\(rest) more faults are not shown", fix: "correct those above and try again")]
    }
}
