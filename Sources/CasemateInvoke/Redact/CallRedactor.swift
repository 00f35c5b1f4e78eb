import CasemateVault

/// What the output of one call is searched for: the function's secrets, and its caller's token. The search for the token is made when there
/// is output that could hold it: that costs a tenth of a millisecond, and most answers to a new caller are shorter than a token.
package final class CallRedactor {
    /// Without the token.
    private let base: Redactor
    /// In bytes; nil where there is none.
    private let tokenLength: Int?
    private let make: () -> Redactor
    private var made: Redactor?

    /// For a call without a token.
    package init(_ redactor: Redactor) {
        base = redactor
        tokenLength = nil
        make = { redactor }
    }

    /// - Parameter make: the search for both.
    init(_ base: Redactor, tokenLength: Int, make: @escaping () -> Redactor) {
        self.base = base
        self.tokenLength = tokenLength
        self.make = make
    }

    var isEmpty: Bool { base.isEmpty && tokenLength == nil }

    /// For output of any length.
    var whole: Redactor {
        if let made { return made }
        let made = make()
        self.made = made
        return made
    }

    /// For output of `length` bytes as it stands, not compressed: no spelling of a token is shorter than the token.
    func whole(for length: Int) -> Redactor { length < tokenLength ?? 0 ? base : whole }
}
