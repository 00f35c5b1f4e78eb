import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire

/// The indexes of one build: the server's, and those that the manifest names. Their credentials stay on the outside.
struct BuildIndexes {
    /// All that the build may reach.
    let hosts: [AllowedHost]
    /// What is put into requests on the way out; nil where no index wants credentials.
    let injections: Injections?
    /// Whether all of it is the operator's own choice: then it may lie wherever it does.
    let isOperators: Bool
    private let url: String
    private let named: [(name: String, url: String)]
    private let packages: [(pattern: String, index: String)]

    /// - Throws: `.secretMissing` for an index whose credentials have no value.
    init(_ server: PackageIndex, _ planned: PlannedFunction, _ opener: StoredSecrets, _ records: Records) async throws {
        let sources = planned.manifest.spec.packageSources ?? PackageSources()
        let values = try await Self.credentials(sources, planned, opener, records)
        var indexes: [String: PackageIndex] = [:]
        for (name, index) in sources.indexes {
            indexes[name] = try PackageIndex(
                url: index.url, fileHosts: index.files ?? [], credentials: index.credentials.flatMap { values[$0] }?.value)
        }
        let usesServer = sources.index == nil
        url = sources.index.flatMap { indexes[$0]?.url } ?? server.url
        let used = Set(sources.packages.values)
        named = indexes.filter { used.contains($0.key) }.map { ($0.key, $0.value.url) }.sorted { $0.name < $1.name }
        packages = sources.packages.map { ($0.key, $0.value) }.sorted { $0.pattern < $1.pattern }
        let all = (usesServer ? [server] : []) + indexes.sorted { $0.key < $1.key }.map(\.value)
        hosts = Array(Set(all.flatMap(\.hosts))).sorted()
        isOperators = indexes.isEmpty
        injections = try PackageIndex.injections(of: all)
    }

    private static func credentials(
        _ sources: PackageSources, _ planned: PlannedFunction, _ opener: StoredSecrets, _ records: Records
    ) async throws -> [VariableName: OpenedSecret] {
        let wanted = sources.credentials
        guard !wanted.isEmpty else { return [:] }
        let name = planned.name
        let function = try await records.read { try $0.function(name) }
        let sealed = try await records.read { transaction in
            try function.map { try transaction.secrets(of: $0.id) } ?? []
        }.filter { wanted.contains($0.name) }
        if let missing = wanted.first(where: { name in !sealed.contains { $0.name == name } }) {
            throw Problem(
                .secretMissing,
                "the index's credentials \(missing) have no value; set user:password: casemate secret set \(name) \(missing)")
        }
        guard let function else { return [:] }
        let opened = try await opener.open(sealed, of: function, for: "the package index of \(name)")
        return Dictionary(uniqueKeysWithValues: opened.map { ($0.name, $0) })
    }

    func add(to fields: inout ShimFields) {
        fields.add(.index, url)
        for (name, url) in named { fields.add(.furtherIndex, name: name, value: Array(url.utf8)) }
        for (pattern, index) in packages { fields.add(.packageIndex, name: pattern, value: Array(index.utf8)) }
        if let injections { fields.add(.authority, injections.certificate) }
    }
}
