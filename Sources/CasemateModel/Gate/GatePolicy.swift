/// What the gate asks of a namespace's functions.
public struct GatePolicy: Hashable, Sendable, Codable {
    /// `strict` holds for all of them; with `auto` a manifest may still be strict for itself.
    public var dependencies: DependencyPolicy
    /// Whether an author's `# nosec` and `pragma: allowlist secret` count.
    public var honoursPragmas: Bool
    /// What an advisory without a severity counts as.
    public var unscored: Unscored
    /// A package whose first version is younger than so many days is told.
    public var newestDays: Int
    /// More packages than these in one bundle are told.
    public var maxDependencies: Int
    /// What becomes of a live function for which a grave advisory comes up.
    public var onAdvisory: OnAdvisory
    /// URLs of the package indexes that manifests may name besides the server's.
    public var indexes: [String]
    /// URLs of the repositories that sources may be fetched from; one that ends with `/` stands for all below it.
    public var repositories: [String]
    public var packages: Packages

    /// Which packages bundles may hold, by their names as PEP 503 writes them; one that ends with `*` stands for all that begin so.
    public struct Packages: Hashable, Sendable, Codable {
        /// Nil for any.
        public var allow: [String]?
        /// Goes before `allow`.
        public var deny: [String]

        public init(allow: [String]? = nil, deny: [String] = []) {
            self.allow = allow
            self.deny = deny
        }

        public func mayHold(_ name: String) -> Bool {
            func isListed(_ patterns: [String]) -> Bool {
                patterns.contains { $0.hasSuffix("*") ? name.hasPrefix($0.dropLast()) : name == $0 }
            }
            return !isListed(deny) && (allow.map(isListed) ?? true)
        }
    }

    /// `high`: it stops a deployment. `warn`: it is told.
    public enum Unscored: String, Hashable, Sendable, Codable, CaseIterable { case high, warn }
    public enum OnAdvisory: String, Hashable, Sendable, Codable, CaseIterable { case report, disable }

    public static let newestDaysRange = 0...365
    public static let maxDependenciesRange = 1...10_000

    public init(
        dependencies: DependencyPolicy = .auto, honoursPragmas: Bool = false, unscored: Unscored = .high, newestDays: Int = 14,
        maxDependencies: Int = 100, onAdvisory: OnAdvisory = .report, indexes: [String] = [], repositories: [String] = [],
        packages: Packages = Packages()
    ) {
        self.packages = packages
        self.indexes = indexes
        self.repositories = repositories
        self.dependencies = dependencies
        self.honoursPragmas = honoursPragmas
        self.unscored = unscored
        self.newestDays = newestDays
        self.maxDependencies = maxDependencies
        self.onAdvisory = onAdvisory
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            dependencies: try container.decodeIfPresent(DependencyPolicy.self, forKey: .dependencies) ?? .auto,
            honoursPragmas: try container.decodeIfPresent(Bool.self, forKey: .honoursPragmas) ?? false,
            unscored: try container.decodeIfPresent(Unscored.self, forKey: .unscored) ?? .high,
            newestDays: try container.decodeIfPresent(Int.self, forKey: .newestDays) ?? 14,
            maxDependencies: try container.decodeIfPresent(Int.self, forKey: .maxDependencies) ?? 100,
            onAdvisory: try container.decodeIfPresent(OnAdvisory.self, forKey: .onAdvisory) ?? .report,
            indexes: try container.decodeIfPresent([String].self, forKey: .indexes) ?? [],
            repositories: try container.decodeIfPresent([String].self, forKey: .repositories) ?? [],
            packages: try container.decodeIfPresent(Packages.self, forKey: .packages) ?? Packages())
    }

    public func mayFetch(from url: String) -> Bool {
        repositories.contains { $0.hasSuffix("/") ? url.hasPrefix($0) && url != $0 : url == $0 }
    }

    /// What of this lets more pass than `before` did; empty where nothing does.
    public func loosened(from before: GatePolicy) -> [String] {
        var loosened: [String] = []
        if before.dependencies == .strict, dependencies == .auto { loosened.append("dependencies") }
        if honoursPragmas, !before.honoursPragmas { loosened.append("honoursPragmas") }
        if unscored == .warn, before.unscored == .high { loosened.append("unscored") }
        if newestDays < before.newestDays { loosened.append("newestDays") }
        if maxDependencies > before.maxDependencies { loosened.append("maxDependencies") }
        if onAdvisory == .report, before.onAdvisory == .disable { loosened.append("onAdvisory") }
        if indexes.contains(where: { !before.indexes.contains($0) }) { loosened.append("indexes") }
        if repositories.contains(where: { !before.repositories.contains($0) }) { loosened.append("repositories") }
        if packages != before.packages, !packages.isNarrower(than: before.packages) { loosened.append("packages") }
        return loosened
    }
}

extension GatePolicy.Packages {
    /// Whether it plainly lets no package pass that `before` does not.
    fileprivate func isNarrower(than before: Self) -> Bool {
        guard before.deny.allSatisfy(deny.contains) else { return false }
        guard let known = before.allow else { return true }
        return allow.map { $0.allSatisfy(known.contains) } ?? false
    }
}

/// How a function's dependencies may be chosen: `auto` locks what is not locked, `strict` wants a lock.
public enum DependencyPolicy: String, Hashable, Sendable, Codable, CaseIterable { case auto, strict }
