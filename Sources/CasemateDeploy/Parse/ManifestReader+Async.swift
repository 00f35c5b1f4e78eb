import CasemateModel

/// `async`: how the function's asynchronous calls are tried.
extension ManifestReader {
    /// Nil where it sets nothing.
    mutating func asynchronous(_ field: Field) -> AsyncRules? {
        let known = ["maxAttempts", "maxAge", "backoff", "maxBackoff", "weight", "deadLetter"]
        guard let fields = fields(of: field.node, at: Place(field), known: known), !fields.isEmpty else { return nil }
        func wide(_ range: ClosedRange<Int64>) -> ClosedRange<Int> { Int(range.lowerBound)...Int(range.upperBound) }
        var rules = AsyncRules()
        if let attempts = fields["maxAttempts"].flatMap({ count($0, in: AsyncRules.attemptsRange, example: "3") }) {
            rules.maxAttempts = attempts
        }
        if let age = fields["maxAge"].flatMap({ duration($0, in: wide(AsyncRules.ageRange), example: "6h") }) {
            rules.maxAgeInMilliseconds = Int64(age)
        }
        if let backoff = fields["backoff"].flatMap({ duration($0, in: wide(AsyncRules.backoffRange), example: "1s") }) {
            rules.backoffInMilliseconds = Int64(backoff)
            rules.maxBackoffInMilliseconds = max(rules.maxBackoffInMilliseconds, Int64(backoff))
        }
        if let field = fields["maxBackoff"], let most = duration(field, in: wide(AsyncRules.backoffRange), example: "5m") {
            rules.maxBackoffInMilliseconds = Int64(most)
            if Int64(most) < rules.backoffInMilliseconds {
                faults.error(field.line, "async.maxBackoff is below async.backoff", fix: "raise it, or lower async.backoff")
            }
        }
        if let weight = fields["weight"].flatMap({ count($0, in: AsyncRules.weightRange, example: "1") }) { rules.weight = weight }
        if let field = fields["deadLetter"], let text = text(field) {
            rules.deadLetter = FunctionName(text)
            if rules.deadLetter == nil {
                faults.error(
                    field.line, "\(Wording.quoted(text)) under \(field.path) is not NAMESPACE/FUNCTION", fix: "write it as \"plant/mend\"")
            }
        }
        return rules
    }
}
