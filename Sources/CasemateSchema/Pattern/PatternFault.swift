/// Why a pattern is not taken, and what to write instead.
struct PatternFault: Error, Hashable {
    let what: String
    let fix: String

    init(_ what: String, _ fix: String) {
        self.what = what
        self.fix = fix
    }
}
