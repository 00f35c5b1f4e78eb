import CasemateModel

/// Where the code is and how it is called.
extension ManifestReader {
    static let runtimes = ["python3.11"]

    // MARK: Source

    /// Where a source comes from.
    enum Source {
        case folder(String)
        case git(GitSource)

        var folder: String? { if case .folder(let folder) = self { folder } else { nil } }
    }

    /// A folder beside the manifest, or a repository.
    mutating func source(_ field: Field) -> Source? {
        if case .mapping = field.node.value { return gitSource(field).map { .git($0) } }
        guard let folder = text(field) else { return nil }
        return isRelativePath(folder, field, example: "./hello") ? .folder(folder) : nil
    }

    /// Stays below `folder` by its form alone.
    mutating func isRelativePath(_ path: String, _ field: Field, example: String, of folder: String = "the manifest's folder") -> Bool {
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
        faults.error(field.line, what, fix: "write a path below \(folder), like \(example)")
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
