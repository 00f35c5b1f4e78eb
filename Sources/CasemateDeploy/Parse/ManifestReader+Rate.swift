import CasemateModel

/// `rate`: how often the function may be called.
extension ManifestReader {
    /// Nil where it sets nothing.
    mutating func rate(_ field: Field) -> RateLimits? {
        guard let fields = fields(of: field.node, at: Place(field), known: ["function", "caller", "address"]) else { return nil }
        var limits = RateLimits()
        limits.function = fields["function"].flatMap { oneRate($0) }
        limits.caller = fields["caller"].flatMap { oneRate($0) }
        limits.address = fields["address"].flatMap { oneRate($0) }
        return limits.isEmpty ? nil : limits
    }

    private mutating func oneRate(_ field: Field) -> Rate? {
        guard let text = field.text else {
            mismatch(field, "a rate", fix: "write it as \"100/s\"")
            return nil
        }
        guard let rate = Rate(text) else {
            faults.error(field.line, "\(field.path) takes a rate, not \(Wording.quoted(text))", fix: Rate.rule)
            return nil
        }
        return rate
    }
}
