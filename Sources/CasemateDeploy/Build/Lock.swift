/// A lock's text: requirements in pip's form, each with one version and its hashes.
enum Lock {
    /// `name version` of each package.
    static func packages(_ text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            guard let first = line.first, first.isLetter || first.isNumber else { return nil }
            let parts = line.prefix { $0 != " " && $0 != ";" && $0 != "\\" }.split(separator: "=", omittingEmptySubsequences: true)
            guard parts.count == 2 else { return nil }
            return "\(parts[0]) \(parts[1])"
        }
    }

    /// SHA-256 of the files that each package may be installed from, by its name as the lock has it.
    static func hashes(_ text: String) -> [String: [String]] {
        var hashes: [String: [String]] = [:]
        var name = ""
        for line in text.split(separator: "\n") {
            if let first = line.first, first.isLetter || first.isNumber {
                name = String(line.prefix { $0 != "=" && $0 != " " && $0 != ";" && $0 != "[" })
            }
            for part in line.split(separator: " ") where part.hasPrefix("--hash=sha256:") {
                hashes[name, default: []].append(String(part.dropFirst("--hash=sha256:".count)))
            }
        }
        return hashes
    }

    /// Whether other files may be installed: other packages or versions, or the same from elsewhere.
    static func isOther(_ before: String?, _ after: String?) -> Bool {
        change(from: before, to: after) != nil || hashes(before ?? "") != hashes(after ?? "")
    }

    /// Nil where the same is installed.
    static func change(from before: String?, to after: String?) -> ListChange<String>? {
        ListChange(from: packages(before ?? ""), to: packages(after ?? ""))
    }
}
