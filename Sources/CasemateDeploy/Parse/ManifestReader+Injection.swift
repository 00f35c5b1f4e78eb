import CasemateModel

/// `{name, deliver: inject, host, header, format}`: a secret that the way out puts into the requests to one host.
extension ManifestReader {
    struct Injection {
        var secret: InjectedSecret
        var line: Int
    }

    /// Nil where there is nothing on delivery, or after a report.
    mutating func injection(_ fields: Fields, _ item: YAMLNode) -> ((VariableName) -> Injection)? {
        guard ["deliver", "host", "header", "format"].contains(where: { fields[$0] != nil }) else { return nil }
        let before = faults.errorCount
        if let deliver = required("deliver", in: fields, line: item.line, of: "this secret", example: "deliver: inject") {
            // Whoever writes the value itself there must not find it in an answer.
            if deliver.text != "inject" {
                faults.error(deliver.line, "secret.deliver is not \"inject\"", fix: "write it as inject, or remove the line")
            }
        }
        var host: AllowedHost?
        if let field = required("host", in: fields, line: item.line, of: "this secret", example: "host: api.example.com") {
            if let text = text(field, isSensitive: true) {
                host = Self.host(text)
                if host == nil { faults.error(field.line, "secret.host is no host name", fix: "write it as api.example.com") }
            }
        }
        var header: String?
        if let field = required("header", in: fields, line: item.line, of: "this secret", example: "header: Authorization") {
            header = text(field, isSensitive: true)
            if let header, !Self.isHeaderName(header) {
                faults.error(field.line, "secret.header is no header field's name", fix: "write it as Authorization")
            } else if let header, InjectedSecret.forbiddenHeaders.contains(header.lowercased()) {
                faults.error(field.line, "secret.header says how a request is sent, not who sends it", fix: "write it as Authorization")
            }
        }
        var format: String?
        if let field = fields["format"], let text = text(field, isSensitive: true) {
            format = text
            if text.split(separator: "{}", omittingEmptySubsequences: false).count != 2 {
                faults.error(field.line, "secret.format does not hold {} once", fix: "write it as \"Bearer {}\"")
            } else if !text.utf8.allSatisfy({ (32...126).contains($0) }) {
                faults.error(field.line, "secret.format has a character that a header field can't have", fix: "write it as \"Bearer {}\"")
            }
        }
        guard faults.errorCount == before, let host, let header else { return nil }
        let line = item.line
        return { name in Injection(secret: InjectedSecret(name: name, host: host, header: header, format: format), line: line) }
    }

    /// Those that hold together with the rest of the manifest, by name; nil for none.
    mutating func injected(_ secrets: Secrets, egress: [AllowedHost], _ environment: Environment) -> [InjectedSecret]? {
        var places: [String: Int] = [:]
        for injection in secrets.injections {
            let secret = injection.secret
            if !egress.contains(secret.host) {
                faults.error(
                    injection.line, "\(secret.name) goes to \(secret.host), which egress does not list",
                    fix: "add \"\(secret.host)\" to egress")
            }
            if secret.host.port == 80 {
                faults.warning(injection.line, "\(secret.name) goes to \(secret.host) without TLS: whoever is on the way can read it")
            }
            let place = "\(secret.host) \(secret.header.lowercased())"
            if let first = places[place] {
                faults.error(
                    injection.line, "\(secret.name) goes into the same header as the secret on line \(first)", fix: "keep one of them")
            }
            places[place] = places[place] ?? injection.line
        }
        guard !secrets.injections.isEmpty else { return nil }
        for name in InjectedSecret.trustVariables.compactMap({ VariableName($0) }) {
            guard let line = environment.lines[name] else { continue }
            faults.error(
                line, "\(name) is set by the platform where a secret is delivered by inject",
                fix: "remove it, or take the certificates from a file of the source in the code")
        }
        return secrets.injections.map(\.secret).sorted { $0.name < $1.name }
    }

    /// `NAME` or `NAME:PORT`, one name in any script.
    private static func host(_ text: String) -> AllowedHost? {
        guard let host = try? EgressEntry.parse(text.contains(":") ? text : "\(text):443"), !host.isWild, host.range == nil else {
            return nil
        }
        return host
    }

    /// A token of RFC 9110 §5.6.2.
    private static func isHeaderName(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }
}
