import CasemateModel

/// `tokens`: what the function demands of identity providers' tokens, besides what is demanded always.
extension ManifestReader {
    static let maximumTokenEntries = 16

    /// Nil where it sets nothing.
    mutating func tokenRules(_ field: Field) -> TokenRules? {
        guard let fields = fields(of: field.node, at: Place(field), known: ["issuers", "audiences", "scopes", "algorithms"]) else {
            return nil
        }
        var rules = TokenRules()
        rules.issuers = fields["issuers"].flatMap { field in
            list(field, most: Self.maximumTokenEntries, example: "[corp]") { reader, text, line in
                guard let label = IssuerLabel(text) else {
                    reader.faults.error(line, "\(Wording.quoted(text)) under \(field.path) is no issuer's name", fix: IssuerLabel.rule)
                    return nil
                }
                return label
            }
        }
        rules.audiences = fields["audiences"].flatMap { audiences($0) }
        rules.scopes = fields["scopes"].flatMap { field in
            list(field, most: Self.maximumTokenEntries, example: "[\"orders.read\"]") { reader, text, line in
                // RFC 6749 §3.3
                let isScope =
                    (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { (33...126).contains($0) && $0 != 34 && $0 != 92 }
                if !isScope {
                    reader.faults.error(line, "\(Wording.quoted(text)) under \(field.path) is no scope", fix: "write one scope an entry")
                }
                return isScope ? text : nil
            }
        }
        rules.algorithms = fields["algorithms"].flatMap { field in
            list(field, most: Self.maximumTokenEntries, example: "[ES256]") { reader, text, line in
                guard Issuer.allAlgorithms.contains(text) else {
                    reader.faults.error(
                        line, "unknown algorithm \(Wording.quoted(text))", fix: "known: \(Issuer.allAlgorithms.joined(separator: ", "))")
                    return nil
                }
                return text
            }
        }
        return rules.isEmpty ? nil : rules
    }
}
