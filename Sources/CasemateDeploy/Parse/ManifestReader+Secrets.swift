import CasemateModel

/// `secrets`: names only. People will write values nevertheless, so no message holds more than a valid name.
extension ManifestReader {
    private static let secretKeys = ["name", "from", "deliver", "host", "header", "format"]

    /// Sorted by name.
    mutating func secrets(_ field: Field, function: FunctionLabel?, environment: Environment) -> [VariableName] {
        if case .mapping(let entries) = field.node.value, !entries.isEmpty {
            for entry in entries { refuseValue(line: entry.keyLine, name: entry.key, function: function) }
            return []
        }
        guard let items = items(field, example: "[API_KEY]") else { return [] }

        var lines: [VariableName: Int] = [:]
        for item in items {
            guard let name = secret(item, function: function) else { continue }
            if let first = lines[name] {
                faults.error(item.line, "the secret \(name) is given again, first on line \(first)", fix: "keep one of them")
            } else if let line = environment.lines[name] {
                faults.error(item.line, "\(name) is a secret and also under env, on line \(line)", fix: "keep one of them")
            }
            lines[name] = lines[name] ?? item.line
        }
        return lines.keys.sorted()
    }

    private mutating func secret(_ item: YAMLNode, function: FunctionLabel?) -> VariableName? {
        switch item.value {
        case .unreadable: return nil
        case .list:
            faults.error(item.line, "a secret must be a name", fix: "write it as API_KEY")
            return nil
        case .mapping(let entries): return secret(entries, item, function: function)
        case .text(let text):
            let assigned = text.text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "=" || $0 == ":" }
            if assigned.count == 2 {
                // A value may hold an = as well (base64), so only what looks like a variable is shown.
                let looksLikeName = assigned[0].utf8.allSatisfy { (65...90).contains($0) || $0 == UInt8(ascii: "_") }
                refuseValue(line: item.line, name: looksLikeName ? String(assigned[0]) : "", function: function)
                return nil
            }
            let field = Field(path: "a secret's name", keyLine: item.line, node: item)
            return self.text(field, isSensitive: true).flatMap { variableName($0, line: item.line, noun: "secret") }
        }
    }

    // MARK: Written as a mapping

    /// `{name, from}` takes the value from elsewhere, `{name, deliver, host, header, format}` keeps it out of the function.
    private mutating func secret(_ entries: [YAMLEntry], _ item: YAMLNode, function: FunctionLabel?) -> VariableName? {
        let given = entries.first { $0.key == "name" }
        // `{API_KEY: value}`, or `{name: API_KEY, value: …}`
        let looksLikeValue = entries.first { entry in
            !Self.secretKeys.contains(entry.key)
                && (given == nil || Wording.nearest(to: entry.key, among: ["value", "secret", "data"]) != nil)
        }
        if let looksLikeValue {
            var name = looksLikeValue.key
            if case .text(let text) = given?.value.value { name = text.text }
            refuseValue(line: looksLikeValue.keyLine, name: name, function: function)
            return nil
        }

        guard let fields = fields(of: item, at: Place("secret", prefix: "secret."), known: Self.secretKeys) else { return nil }
        let nameField = required("name", in: fields, line: item.line, of: "this secret", example: "name: API_KEY")
        let name = nameField.flatMap { text($0, isSensitive: true) }.flatMap { variableName($0, line: item.line, noun: "secret") }
        guard checkSource(fields), checkDelivery(fields, item) else { return nil }
        return name
    }

    /// - Returns: whether there is no `from`.
    private mutating func checkSource(_ fields: Fields) -> Bool {
        guard let from = fields["from"] else { return true }
        guard let text = text(from, isSensitive: true) else { return false }
        let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, parts[0].count > 1, parts[0].hasSuffix(":"), parts[1].isEmpty, !parts[2].isEmpty {
            notAvailable(from)
        } else {
            faults.error(from.line, "secret.from names no secret elsewhere", fix: "write it as \"aws-sm://prod/db\"")
        }
        return false
    }

    /// - Returns: whether there is nothing on delivery.
    private mutating func checkDelivery(_ fields: Fields, _ item: YAMLNode) -> Bool {
        let present = ["deliver", "host", "header", "format"].compactMap { fields[$0] }
        guard !present.isEmpty else { return true }
        let before = faults.errorCount
        if let deliver = required("deliver", in: fields, line: item.line, of: "this secret", example: "deliver: inject") {
            _ = choice(deliver, of: ["inject"])
        }
        if let host = required("host", in: fields, line: item.line, of: "this secret", example: "host: api.example.com") {
            if let text = text(host, isSensitive: true), !Self.isHost(text) {
                faults.error(host.line, "secret.host is no host name", fix: "write it as api.example.com")
            }
        }
        if let header = required("header", in: fields, line: item.line, of: "this secret", example: "header: Authorization") {
            if let text = text(header, isSensitive: true), !Self.isHeaderName(text) {
                faults.error(header.line, "secret.header is no header field's name", fix: "write it as Authorization")
            }
        }
        if let format = fields["format"], let text = text(format, isSensitive: true),
            text.split(separator: "{}", omittingEmptySubsequences: false).count != 2
        {
            faults.error(format.line, "secret.format does not hold {} once", fix: "write it as \"Bearer {}\"")
        }
        if let deliver = fields["deliver"] { notAvailable(deliver, unlessErrorsSince: before) }
        return false
    }

    /// A token of RFC 9110 §5.6.2.
    private static func isHeaderName(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }

    // MARK: Values

    private mutating func refuseValue(line: Int, name: String, function: FunctionLabel?) {
        let target = "\(namespace?.text ?? "NAMESPACE")/\(function?.text ?? "FUNCTION")"
        faults.error(
            line, "secret values don't belong in the manifest",
            fix: "keep only the name and type: casemate secret set \(target) \(VariableName(name)?.text ?? "NAME")")
    }
}
