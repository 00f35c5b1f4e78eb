import CasemateModel
import Foundation

/// `dependencies`: how they are locked, and where they come from.
extension ManifestReader {
    private static let mostIndexes = 10

    mutating func dependencies(_ field: Field) -> (policy: DependencyPolicy?, sources: PackageSources?) {
        let known = ["policy", "index", "indexes", "packages", "fromSource"]
        guard let fields = fields(of: field.node, at: Place(field), known: known) else { return (nil, nil) }
        var sources = PackageSources()
        if let indexes = fields["indexes"] { sources.indexes = self.indexes(indexes) }
        if let index = fields["index"], let name = text(index, isSensitive: true), !name.isEmpty, isIndex(name, in: sources, index) {
            sources.index = name
        }
        if let packages = fields["packages"] { sources.packages = self.packages(packages, sources) }
        if let built = fields["fromSource"] { sources.fromSource = fromSource(built) }
        let policy = fields["policy"].flatMap { choice($0, of: DependencyPolicy.allCases.map(\.rawValue)) }.flatMap {
            DependencyPolicy(rawValue: $0)
        }
        return (policy, sources.isEmpty ? nil : sources)
    }

    private mutating func indexes(_ field: Field) -> [String: PackageSources.Index] {
        guard case .mapping(let entries) = field.node.value else {
            mismatch(field, "a mapping", fix: "write it as corp: {url: https://pypi.corp.example/simple}")
            return [:]
        }
        if entries.count > Self.mostIndexes {
            faults.error(field.line, "\(field.path) has more than \(Self.mostIndexes) entries", fix: "remove some")
        }
        var indexes: [String: PackageSources.Index] = [:]
        for entry in entries.prefix(Self.mostIndexes) {
            guard let name = FunctionLabel(entry.key)?.text else {
                faults.error(entry.keyLine, "\(Wording.quoted(entry.key)) is no name for an index", fix: "use a-z, 0-9 and -")
                continue
            }
            let place = Field(path: "\(field.path).\(name)", keyLine: entry.keyLine, node: entry.value)
            if let index = index(place) { indexes[name] = index }
        }
        return indexes
    }

    private mutating func index(_ field: Field) -> PackageSources.Index? {
        guard let fields = fields(of: field.node, at: Place(field), known: ["url", "credentials", "files"]) else { return nil }
        guard
            let urlField = required("url", in: fields, line: field.line, of: field.path, example: "url: https://pypi.corp.example/simple"),
            // A URL may hold a password.
            let url = text(urlField, isSensitive: true)
        else { return nil }
        guard let parts = URLComponents(string: url), parts.scheme == "https", let host = parts.host,
            AllowedHost(name: host, port: UInt16(exactly: parts.port ?? 443) ?? 0) != nil, parts.query == nil, parts.fragment == nil
        else {
            faults.error(
                urlField.line, "\(urlField.path) is no https:// URL of a host", fix: "write it as https://pypi.corp.example/simple")
            return nil
        }
        guard parts.user == nil, parts.password == nil else {
            faults.error(
                urlField.line, "\(urlField.path) holds credentials",
                fix: "name a secret with user:password instead: credentials: CORP_INDEX")
            return nil
        }
        var index = PackageSources.Index(url: url)
        if let secret = fields["credentials"], let name = text(secret) {
            index.credentials = variableName(name, line: secret.line, noun: "secret")
        }
        if let files = fields["files"], let items = items(files, example: "[files.corp.example]") {
            index.files = items.compactMap { item in
                guard let name = text(Field(path: files.path, keyLine: item.line, node: item)) else { return nil }
                guard AllowedHost(name: name, port: 443) != nil else {
                    faults.error(item.line, "\(Wording.quoted(name)) is no host name", fix: "write it as files.corp.example")
                    return nil
                }
                return name
            }
        }
        return index
    }

    private mutating func packages(_ field: Field, _ sources: PackageSources) -> [String: String] {
        guard case .mapping(let entries) = field.node.value else {
            mismatch(field, "a mapping", fix: "write it as corp-lib: corp")
            return [:]
        }
        var packages: [String: String] = [:]
        for entry in entries.prefix(500) {
            guard let pattern = PackageSources.pattern(entry.key) else {
                faults.error(
                    entry.keyLine, "\(Wording.quoted(entry.key)) is no package's name",
                    fix: "write it as corp-lib, or \"corp-*\" for all of these")
                continue
            }
            let value = Field(path: "the index of \(Wording.quoted(entry.key))", keyLine: entry.keyLine, node: entry.value)
            if let name = text(value), isIndex(name, in: sources, value) { packages[pattern] = name }
        }
        return packages
    }

    private mutating func isIndex(_ name: String, in sources: PackageSources, _ field: Field) -> Bool {
        if sources.indexes[name] != nil { return true }
        // A URL may hold a password.
        guard FunctionLabel(name) != nil else {
            faults.error(
                field.line, "\(field.path) is no name of dependencies.indexes", fix: "add the index there, and write its name here")
            return false
        }
        let known = sources.indexes.keys.sorted()
        faults.error(
            field.line, "\(field.path) names \(Wording.quoted(name)), which dependencies.indexes does not have",
            fix: known.isEmpty ? "add it there: \(name): {url: https://…}" : "write one of: \(known.joined(separator: ", "))")
        return false
    }

    private mutating func fromSource(_ field: Field) -> [String] {
        guard let items = items(field, example: "[some-package]") else { return [] }
        let names = items.compactMap { item -> String? in
            guard let text = text(Field(path: field.path, keyLine: item.line, node: item)) else { return nil }
            guard let name = PackageSources.pattern(text), !name.hasSuffix("*") else {
                faults.error(item.line, "\(Wording.quoted(text)) is no package's name", fix: "write its name")
                return nil
            }
            return name
        }
        return Array(Set(names)).sorted()
    }
}
