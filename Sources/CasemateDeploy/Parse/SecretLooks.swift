import CasemateModel

/// Whether a variable under `env` looks like a secret, which anybody who may read the function would see. By its name, or by forms that
/// credentials have; what this can't tell is the gate's to find.
enum SecretLooks {
    static func areThere(_ name: VariableName, _ value: String) -> Bool {
        isForm(value) || (hasName(name.text) && !isPlain(value))
    }

    private static let lastWords: Set<String> = [
        "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "TOKEN", "CREDENTIAL", "CREDENTIALS", "APIKEY",
    ]
    private static let keys: Set<String> = [
        "API", "PRIVATE", "ACCESS", "SECRET", "SIGNING", "ENCRYPTION", "AUTH", "MASTER", "ACCOUNT", "WEBHOOK",
    ]

    /// `DB_PASSWORD`, `API_KEY`; not `TOKEN_URL` and not `SORT_KEY`.
    private static func hasName(_ name: String) -> Bool {
        let words = name.uppercased().split { $0 == "_" || $0 == "-" || $0 == "." }.map(String.init)
        guard let last = words.last else { return false }
        return lastWords.contains(last) || (last == "KEY" && words.dropLast().last.map(keys.contains) ?? false)
    }

    /// What names a secret, or switches something: `prod/db`, `https://…`, `true`, `30`, `${VAULT}`.
    private static func isPlain(_ value: String) -> Bool {
        value.isEmpty || ["true", "false", "none", "null", "yes", "no", "on", "off"].contains(value.lowercased())
            || (value.utf8.count <= 6 && value.utf8.allSatisfy { (48...57).contains($0) })
            || value.hasPrefix("/") || value.hasPrefix("$") || value.hasPrefix("http://") || value.hasPrefix("https://")
            || value.hasPrefix("arn:")
    }

    /// Prefixes of credentials, each with the number of bytes that follow at least.
    private static let prefixes: [(text: String, length: Int)] = [
        ("AKIA", 16), ("ASIA", 16), ("sk_live_", 10), ("sk_test_", 10), ("rk_live_", 10), ("ghp_", 30), ("gho_", 30), ("ghs_", 30),
        ("github_pat_", 30), ("glpat-", 16), ("xoxb-", 16), ("xoxp-", 16), ("xoxa-", 16), ("AIza", 30), ("hvs.", 20), ("npm_", 30),
        ("pypi-", 30), ("whsec_", 16), ("cms_", 20), ("cmt_", 20), ("eyJ", 60),
    ]

    private static func isForm(_ value: String) -> Bool {
        if value.contains("PRIVATE KEY-----") { return true }
        let isWord = value.utf8.allSatisfy { (33...126).contains($0) }
        if isWord, prefixes.contains(where: { value.hasPrefix($0.text) && value.utf8.count >= $0.text.utf8.count + $0.length }) {
            return true
        }
        return hasPasswordInURL(value) || hasKeyInConnectionString(value)
    }

    /// `Server=…;Password=…`, `AccountName=…;AccountKey=…`.
    private static func hasKeyInConnectionString(_ value: String) -> Bool {
        guard value.contains(";") else { return false }
        return value.split(separator: ";").contains { part in
            let field = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard field.count == 2, field[1].utf8.count >= 4, !field[1].hasPrefix("$"), !field[1].hasPrefix("{") else { return false }
            let name = field[0].lowercased().filter { $0 != " " }
            return ["password", "pwd", "accountkey", "sharedaccesskey", "sharedaccesssignature", "accesskey", "clientsecret"].contains(name)
        }
    }

    /// `postgres://app:password@db` (RFC 3986 §3.2.1).
    private static func hasPasswordInURL(_ value: String) -> Bool {
        guard let scheme = value.firstRange(of: "://") else { return false }
        let authority = value[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") else { return false }
        return authority.distance(from: colon, to: at) > 1
    }
}
