import CasemateModel
import CasemateSandbox
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
    init(_ server: PackageIndex, _ planned: PlannedFunction, _ opener: StoredSecrets) async throws {
        let sources = planned.manifest.spec.packageSources ?? PackageSources()
        let values = try await opener.open(sources.credentials, of: planned.name, for: "the package index of \(planned.name)")
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
        try Self.check(sources, server: usesServer ? server : nil, indexes)
        let all = (usesServer ? [server] : []) + indexes.sorted { $0.key < $1.key }.map(\.value)
        hosts = Array(Set(all.flatMap(\.hosts))).sorted()
        isOperators = indexes.isEmpty
        injections = try PackageIndex.injections(of: all)
    }

    /// Credentials are put into requests by their host: there may be those of one index alone.
    private static func check(_ sources: PackageSources, server: PackageIndex?, _ indexes: [String: PackageIndex]) throws(Problem) {
        var known: [AllowedHost: (name: String, secret: String)] = [:]
        if let server { known[server.hosts[0]] = ("the server's", server.credentials == nil ? "" : "the server's") }
        for (name, index) in indexes.sorted(by: { $0.key < $1.key }) {
            let secret = sources.indexes[name]?.credentials?.text ?? ""
            if let other = known[index.hosts[0]], other.secret != secret {
                throw Problem(
                    .invalidRequest,
                    "the indexes \(other.name) and \(name) are at one host and port, where there can be one index's credentials alone; give both the same, or another host name to one"
                )
            }
            known[index.hosts[0]] = (name, secret)
        }
    }

    func add(to fields: inout ShimFields) {
        fields.add(.index, url)
        for (name, url) in named { fields.add(.furtherIndex, name: name, value: Array(url.utf8)) }
        for (pattern, index) in packages { fields.add(.packageIndex, name: pattern, value: Array(index.utf8)) }
        if let injections { fields.add(.authority, injections.certificate) }
    }
}
