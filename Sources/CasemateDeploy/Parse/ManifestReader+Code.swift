import CasemateModel

/// Where the code is and how it is called.
extension ManifestReader {
    static let runtimes = ["python3.11"]

    // MARK: Source

    /// A folder beside the manifest. `git` is understood, but not available yet.
    mutating func source(_ field: Field) -> String? {
        if case .mapping = field.node.value {
            gitSource(field)
            return nil
        }
        guard let folder = text(field) else { return nil }
        return isRelativePath(folder, field, example: "./hello") ? folder : nil
    }

    private mutating func gitSource(_ field: Field) {
        let before = faults.errorCount
        let place = Place(field)
        guard let fields = fields(of: field.node, at: place, known: ["git"]) else { return }
        guard let git = required("git", in: fields, line: field.line, of: "source", example: "a folder: source: ./hello") else { return }
        guard let parts = self.fields(of: git.node, at: Place(git), known: ["url", "ref"]) else { return }
        let title = git.path
        let url = required("url", in: parts, line: git.line, of: title, example: "url: https://…")
        let reference = required("ref", in: parts, line: git.line, of: title, example: "ref: with a commit's hash")
        // A URL may hold a password.
        if let url, let text = text(url, isSensitive: true), !text.hasPrefix("https://"), !text.hasPrefix("ssh://") {
            faults.error(url.line, "\(url.path) is no https:// or ssh:// URL", fix: "write it as https://git.example.com/plant/code")
        }
        if let reference, let hash = text(reference),
            ![40, 64].contains(hash.utf8.count) || !hash.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        {
            faults.error(reference.line, "\(reference.path) is no commit hash", fix: "write its 40 or 64 hexadecimal digits")
        }
        notAvailable(git, unlessErrorsSince: before)
    }

    /// Stays below the manifest's folder by its form alone.
    mutating func isRelativePath(_ path: String, _ field: Field, example: String) -> Bool {
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        let what: String
        if path.isEmpty {
            what = "\(field.path) is empty"
        } else if path.utf8.count > 1024 {
            what = "\(field.path) is longer than 1024 bytes"
        } else if path.contains("://") {
            what = "\(field.path) is a URL"
        } else if path.hasPrefix("/") || path.hasPrefix("~") {
            what = "\(field.path) \(Wording.quoted(path)) is not relative"
        } else if components.contains("..") {
            what = "\(field.path) \(Wording.quoted(path)) leaves its folder by .."
        } else if path.unicodeScalars.contains(where: { $0 == "\\" || $0.properties.generalCategory == .control }) {
            what = "\(field.path) \(Wording.quoted(path)) holds a \\ or a control character"
        } else {
            return true
        }
        faults.error(field.line, what, fix: "write a path below the manifest's folder, like \(example)")
        return false
    }

    // MARK: Handler

    /// `file.function` or `folder/file.function`, without the file's extension.
    mutating func handler(_ field: Field) -> String? {
        guard let handler = text(field) else { return nil }
        if Self.isHandler(handler) { return handler }
        var parts = handler.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count == 3, parts[1] == "py" { parts.remove(at: 1) }
        let likely = parts.joined(separator: ".")
        faults.error(
            field.line, "handler \(Wording.quoted(handler)) is not file.function",
            fix: "write it as \(Self.isHandler(likely) ? Wording.quoted(likely) : "\"handler.handle\" or \"folder/file.function\"")")
        return nil
    }

    private static func isHandler(_ text: String) -> Bool {
        func isWord(_ text: Substring, dashes: Bool) -> Bool {
            guard let first = text.utf8.first, !(48...57).contains(first), first != UInt8(ascii: "-") else { return false }
            return text.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "_")
                    || dashes && $0 == UInt8(ascii: "-")
            }
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 255, parts.count == 2 else { return false }
        return isWord(parts[1], dashes: false)
            && parts[0].split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isWord($0, dashes: true) }
    }

    // MARK: Signature and access

    mutating func signature(_ field: Field) -> FunctionSpec.Signature? {
        choice(field, of: ["cognite", "scaleway"], later: ["kyma", "azure"]).flatMap { FunctionSpec.Signature(rawValue: $0) }
    }

    mutating func access(_ field: Field) -> FunctionSpec.Access? {
        choice(field, of: ["private", "public"]).flatMap { FunctionSpec.Access(rawValue: $0) }
    }
}
