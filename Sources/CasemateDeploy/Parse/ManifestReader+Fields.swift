import CasemateModel

extension ManifestReader {
    /// A mapping, as messages call it.
    struct Place {
        var title: String
        /// Before its keys: `limits.`
        var prefix: String

        init(_ title: String, prefix: String) {
            self.title = title
            self.prefix = prefix
        }

        /// Below a field: `limits`, `limits.`
        init(_ field: Field) { self.init(field.path, prefix: "\(field.path).") }
    }

    /// A key of a mapping with its value.
    struct Field {
        /// As messages call it: `limits.memory`.
        var path: String
        var keyLine: Int
        var node: YAMLNode

        var line: Int { node.line }

        /// The scalar's text, whatever its kind.
        var text: String? {
            guard case .text(let text) = node.value else { return nil }
            return text.text
        }
    }

    /// The known keys of a mapping that have a value.
    struct Fields {
        fileprivate var values: [String: Field] = [:]
        /// Reported already: not missing, but without a value.
        fileprivate var withoutValue: Set<String> = []

        subscript(key: String) -> Field? { values[key] }
        var isEmpty: Bool { values.isEmpty }
    }

    // MARK: Mappings

    /// Reports unknown keys and keys without a value. nil, after a report, when the node is no mapping.
    mutating func fields(of node: YAMLNode, at place: Place, known: [String]) -> Fields? {
        guard case .mapping(let entries) = node.value else {
            mismatch(Field(path: place.title, keyLine: node.line, node: node), "a mapping", fix: "write it as name: value lines")
            return nil
        }
        var fields = Fields()
        for entry in entries {
            guard known.contains(entry.key) else {
                faults.error(
                    entry.keyLine, "unknown key \(Wording.quoted(entry.key))", fix: Wording.fix(for: entry.key, known: known))
                continue
            }
            let path = place.prefix + entry.key
            if entry.value.isNull {
                faults.error(entry.keyLine, "\(path) has no value", fix: "give it one or remove the key")
                fields.withoutValue.insert(entry.key)
            } else {
                fields.values[entry.key] = Field(path: path, keyLine: entry.keyLine, node: entry.value)
            }
        }
        return fields
    }

    mutating func required(_ key: String, in fields: Fields, line: Int?, of owner: String, example: String) -> Field? {
        if fields.values[key] == nil, !fields.withoutValue.contains(key) {
            faults.error(line, "\(owner) has no \(key)", fix: "add \(example)")
        }
        return fields.values[key]
    }

    // MARK: Lists

    /// At most 100 entries, each with a value. nil, after a report, when the field is no list.
    mutating func items(_ field: Field, example: String) -> [YAMLNode]? {
        guard case .list(let items) = field.node.value else {
            mismatch(field, "a list", fix: "write it as \(example)")
            return nil
        }
        if items.count > 100 { faults.error(items[100].line, "\(field.path) has more than 100 entries", fix: "remove some") }
        return items.prefix(100).filter { item in
            if item.isNull { faults.error(item.line, "\(field.path) has an empty entry", fix: "remove it") }
            return !item.isNull
        }
    }

    // MARK: Scalars

    /// A text that YAML 1.1 takes for nothing else. nil after a report.
    /// - Parameter isSensitive: whether it may hold a secret, and so is never shown.
    mutating func text(_ field: Field, isSensitive: Bool = false) -> String? {
        guard case .text(let text) = field.node.value else {
            mismatch(field, "a text", fix: "write it as one word or in quotes")
            return nil
        }
        guard text.kind == .text else {
            let shown = isSensitive ? "" : ": \(Wording.quoted(text.text))"
            faults.error(field.line, "\(field.path) is read as \(text.kind.rawValue), not as a text", fix: "write it in quotes\(shown)")
            return nil
        }
        return text.text
    }

    mutating func name<Name: LabelName>(_ field: Field) -> Name? {
        guard let text = text(field) else { return nil }
        guard let name = Name(text) else {
            faults.error(field.line, "\(Wording.quoted(text)) is no \(Name.noun)", fix: Name.rule)
            return nil
        }
        return name
    }

    /// One of a few words. A later one is known, but refused as not available yet.
    mutating func choice(_ field: Field, of available: [String], later: [String] = []) -> String? {
        guard let word = field.text else {
            mismatch(field, "one word", fix: "write one of: \(available.joined(separator: ", "))")
            return nil
        }
        if available.contains(word) { return word }
        let last = field.path.split(separator: ".").last.map(String.init) ?? field.path
        if later.contains(word) {
            faults.error(field.line, "\(last) \(Wording.quoted(word)) is not available yet", fix: "remove it")
        } else {
            faults.error(field.line, "unknown \(last) \(Wording.quoted(word))", fix: Wording.fix(for: word, known: available + later))
        }
        return nil
    }

    /// A number, size or duration: read by `parse`, and inside `range`.
    mutating func quantity<Value: Comparable>(
        _ field: Field, _ noun: String, in range: ClosedRange<Value>, parse: (String) -> Value?, show: (Value) -> String,
        suggest: (String) -> String
    ) -> Value? {
        guard let text = field.text else {
            mismatch(field, noun, fix: "write it as \(suggest(""))")
            return nil
        }
        guard let value = parse(text) else {
            faults.error(
                field.line, "\(field.path) takes \(noun), not \(Wording.quoted(text))", fix: "write it as \(suggest(text))")
            return nil
        }
        guard range.contains(value) else {
            faults.error(
                field.line, "\(field.path) \(Wording.quoted(text)) is out of range",
                fix: "choose from \(show(range.lowerBound)) to \(show(range.upperBound))")
            return nil
        }
        return value
    }

    // MARK: Faults

    /// The value's kind is wrong. Silent about a value that was already reported.
    mutating func mismatch(_ field: Field, _ expected: String, fix: String) {
        let found: String
        switch field.node.value {
        case .text: found = "a single value"
        case .list: found = "a list"
        case .mapping: found = "a mapping"
        case .unreadable: return
        }
        faults.error(field.line, "\(field.path) takes \(expected), not \(found)", fix: fix)
    }
}
