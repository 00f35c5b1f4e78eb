import CasemateModel

/// `capabilities` and `identity`: what a function may do here, and to whom it may say who it is. Without them it gets no credential at all.
extension ManifestReader {
    static let maximumCapabilities = 64
    static let maximumAudiences = 16

    /// Sorted; nil for none.
    mutating func capabilities(_ field: Field) -> [Capability]? {
        list(field, most: Self.maximumCapabilities, example: "[\"plant/lookup:invoke\"]") { reader, text, line in
            guard let capability = Capability(text) else {
                reader.faults.error(
                    line, "\(Wording.quoted(text)) under \(field.path) is no capability", fix: Capability.rule)
                return nil
            }
            return capability
        }
    }

    /// Sorted; nil for none.
    mutating func audiences(_ field: Field) -> [String]? {
        list(field, most: Self.maximumAudiences, example: "[\"https://sts.example.com\"]") { reader, text, line in
            guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ (33...126).contains($0) }) else {
                reader.faults.error(
                    line, "\(Wording.quoted(text)) under \(field.path) is no audience",
                    fix: "write what the other side expects in aud: up to 255 visible characters of ASCII")
                return nil
            }
            return text
        }
    }

    mutating func list<Item: Hashable & Comparable>(
        _ field: Field, most: Int, example: String, _ parse: (inout ManifestReader, String, Int) -> Item?
    ) -> [Item]? {
        guard let items = items(field, example: example) else { return nil }
        if items.count > most {
            faults.error(field.line, "\(field.path) has more than \(most) entries", fix: "remove those that are not needed")
        }
        var lines: [Item: Int] = [:]
        for item in items.prefix(most) {
            guard let text = text(Field(path: "an entry of \(field.path)", keyLine: item.line, node: item)),
                let parsed = parse(&self, text, item.line)
            else { continue }
            if let first = lines[parsed] {
                faults.error(item.line, "\(parsed) is given again, first on line \(first)", fix: "keep one of them")
            }
            lines[parsed] = lines[parsed] ?? item.line
        }
        return lines.isEmpty ? nil : lines.keys.sorted()
    }
}
