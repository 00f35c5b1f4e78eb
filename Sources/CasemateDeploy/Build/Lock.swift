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

    /// Nil where the same is installed.
    static func change(from before: String?, to after: String?) -> ListChange<String>? {
        ListChange(from: packages(before ?? ""), to: packages(after ?? ""))
    }
}
