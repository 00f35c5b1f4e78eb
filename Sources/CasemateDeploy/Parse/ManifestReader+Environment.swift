import CasemateModel

/// `env`. Its values are in no message, since people put secrets there.
extension ManifestReader {
    struct Environment {
        var values: [VariableName: String] = [:]
        /// Also of names whose value was refused.
        var lines: [VariableName: Int] = [:]
    }

    private static let maximumEntries = 100
    private static let maximumValueSizeInBytes = 1000

    mutating func environment(_ field: Field) -> Environment {
        var environment = Environment()
        guard case .mapping(let entries) = field.node.value else {
            mismatch(field, "a mapping", fix: "write it as name: value lines")
            return environment
        }
        if entries.count > Self.maximumEntries {
            faults.error(entries[Self.maximumEntries].keyLine, "env has more than \(Self.maximumEntries) entries", fix: "remove some")
        }
        for entry in entries.prefix(Self.maximumEntries) {
            guard let name = variableName(entry.key, line: entry.keyLine, noun: "variable") else { continue }
            environment.lines[name] = entry.keyLine
            environment.values[name] = value(of: name, entry)
        }
        return environment
    }

    /// A name that the function's process can have. A refused one isn't shown: it could be `NAME=value` in one.
    mutating func variableName(_ text: String, line: Int, noun: String) -> VariableName? {
        guard let name = VariableName(text) else {
            faults.error(line, "this is no \(noun)'s name", fix: VariableName.rule)
            return nil
        }
        guard !name.isReserved else {
            faults.error(line, "the name \(name) is reserved for the platform", fix: "choose another name")
            return nil
        }
        return name
    }

    private mutating func value(of name: VariableName, _ entry: YAMLEntry) -> String? {
        let line = entry.value.line
        switch entry.value.value {
        case .unreadable: return nil
        case .list, .mapping:
            faults.error(line, "the value of \(name) must be a text", fix: "write it in quotes")
            return nil
        case .text(let text):
            switch text.kind {
            case .text: break
            case .null:
                faults.error(entry.keyLine, "\(name) has no value", fix: "write \"\" for an empty one, or remove it")
                return nil
            case .boolean:
                // One of 22 words, and so no secret.
                faults.error(line, "the value of \(name) is read as a boolean, not as a text", fix: "write it in quotes: \"\(text.text)\"")
                return nil
            case .number, .date:
                faults.error(line, "the value of \(name) is read as \(text.kind.rawValue), not as a text", fix: "write it in quotes")
                return nil
            }
            if text.text.utf8.count > Self.maximumValueSizeInBytes {
                faults.error(
                    line, "the value of \(name) is longer than \(Self.maximumValueSizeInBytes) bytes", fix: "put it in a file of the source"
                )
                return nil
            }
            if text.text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && $0 != "\n" && $0 != "\t" }) {
                faults.error(line, "the value of \(name) holds a control character", fix: "encode it, as in base64")
                return nil
            }
            return text.text
        }
    }
}
