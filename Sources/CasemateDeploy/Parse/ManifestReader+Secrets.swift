import CasemateModel

/// `secrets`: names only, `+Injection` has those that are put in on the way. People will write values nevertheless, so no message holds more than a valid name.
extension ManifestReader {
    struct Secrets {
        /// Of all names.
        var lines: [VariableName: Int] = [:]
        /// Those that are put in on the way.
        var injections: [Injection] = []
        /// Those whose value is kept elsewhere.
        var references: [SecretReference] = []
    }

    private static let secretKeys = ["name", "from", "deliver", "host", "header", "format"]

    mutating func secrets(_ field: Field, function: FunctionLabel?, environment: Environment) -> Secrets {
        if case .mapping(let entries) = field.node.value, !entries.isEmpty {
            for entry in entries { refuseValue(line: entry.keyLine, name: entry.key, function: function) }
            return Secrets()
        }
        guard let items = items(field, example: "[API_KEY]") else { return Secrets() }

        var secrets = Secrets()
        for item in items {
            guard let (name, injection, from) = secret(item, function: function) else { continue }
            if let first = secrets.lines[name] {
                faults.error(item.line, "the secret \(name) is given again, first on line \(first)", fix: "keep one of them")
            } else if let line = environment.lines[name] {
                faults.error(item.line, "\(name) is a secret and also under env, on line \(line)", fix: "keep one of them")
            }
            secrets.lines[name] = secrets.lines[name] ?? item.line
            if let injection { secrets.injections.append(injection) }
            if let from { secrets.references.append(SecretReference(name: name, from: from)) }
        }
        return secrets
    }

    private mutating func secret(_ item: YAMLNode, function: FunctionLabel?) -> (VariableName, Injection?, ExternalSecret?)? {
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
            return self.text(field, isSensitive: true).flatMap { variableName($0, line: item.line, noun: "secret") }.map { ($0, nil, nil) }
        }
    }

    // MARK: Written as a mapping

    /// `{name, from}` takes the value from elsewhere, `{name, deliver, host, header, format}` keeps it out of the function.
    private mutating func secret(_ entries: [YAMLEntry], _ item: YAMLNode, function: FunctionLabel?)
        -> (VariableName, Injection?, ExternalSecret?)?
    {
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
        var from: ExternalSecret?
        if let field = fields["from"], let text = text(field, isSensitive: true) {
            from = ExternalSecret(text)
            // Whoever writes the value itself there must not find it in an answer.
            if from == nil { faults.error(field.line, "secret.from names no secret elsewhere", fix: ExternalSecret.rule) }
        }
        let injection = injection(fields, item)
        guard fields["from"] == nil || from != nil else { return nil }
        return name.map { name in (name, injection?(name), from) }
    }

    // MARK: Values

    private mutating func refuseValue(line: Int, name: String, function: FunctionLabel?) {
        let target = "\(namespace?.text ?? "NAMESPACE")/\(function?.text ?? "FUNCTION")"
        faults.error(
            line, "secret values don't belong in the manifest",
            fix: "keep only the name and type: casemate secret set \(target) \(VariableName(name)?.text ?? "NAME")")
    }
}
