import CasemateDeploy
import CasemateModel
import Foundation

/// `gate` of a policy's body: what is left out is at its default.
struct NewGatePolicy: Decodable {
    var dependencies: String?
    var honoursPragmas: Bool?
    var unscored: String?
    var newestDays: Int?
    var maxDependencies: Int?
    var onAdvisory: String?
    var indexes: [String]?
    var repositories: [String]?
    var packages: [String: [String]]?

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case dependencies, honoursPragmas, unscored, newestDays, maxDependencies, onAdvisory, indexes, repositories, packages
    }

    init(from decoder: any Decoder) throws {
        let all = try decoder.container(keyedBy: AnyKey.self)
        if let unknown = all.allKeys.first(where: { key in !CodingKeys.allCases.contains { $0.rawValue == key.stringValue } }) {
            let known = CodingKeys.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw Problem(.invalidRequest, "unknown field \"gate.\(unknown.stringValue.prefix(60))\"; known: \(known)")
        }
        let container = try decoder.container(keyedBy: CodingKeys.self)
        dependencies = try container.decodeIfPresent(String.self, forKey: .dependencies)
        honoursPragmas = try container.decodeIfPresent(Bool.self, forKey: .honoursPragmas)
        unscored = try container.decodeIfPresent(String.self, forKey: .unscored)
        newestDays = try container.decodeIfPresent(Int.self, forKey: .newestDays)
        maxDependencies = try container.decodeIfPresent(Int.self, forKey: .maxDependencies)
        onAdvisory = try container.decodeIfPresent(String.self, forKey: .onAdvisory)
        indexes = try container.decodeIfPresent([String].self, forKey: .indexes)
        repositories = try container.decodeIfPresent([String].self, forKey: .repositories)
        packages = try container.decodeIfPresent([String: [String]].self, forKey: .packages)
    }

    /// - Throws: `.invalidRequest` naming the field.
    var policy: GatePolicy {
        get throws(Problem) {
            var policy = GatePolicy()
            policy.dependencies = try choice(dependencies, "dependencies") ?? policy.dependencies
            policy.honoursPragmas = honoursPragmas ?? policy.honoursPragmas
            policy.unscored = try choice(unscored, "unscored") ?? policy.unscored
            policy.newestDays = try number(newestDays, "newestDays", GatePolicy.newestDaysRange) ?? policy.newestDays
            policy.maxDependencies =
                try number(maxDependencies, "maxDependencies", GatePolicy.maxDependenciesRange) ?? policy.maxDependencies
            policy.onAdvisory = try choice(onAdvisory, "onAdvisory") ?? policy.onAdvisory
            guard (indexes ?? []).count <= 50 else { throw Problem(.invalidRequest, "gate.indexes has at most 50 entries") }
            policy.indexes = try (indexes ?? []).map { url throws(Problem) in
                guard let parts = URLComponents(string: url), parts.scheme == "https", parts.host?.isEmpty == false, parts.user == nil,
                    parts.password == nil
                else { throw Problem(.invalidRequest, "gate.indexes: https URLs of package indexes, without credentials") }
                return url
            }.sorted()
            guard (repositories ?? []).count <= 50 else { throw Problem(.invalidRequest, "gate.repositories has at most 50 entries") }
            policy.repositories = try (repositories ?? []).map { url throws(Problem) in
                guard GitRemote(url.hasSuffix("/") ? url + "code" : url) != nil else {
                    throw Problem(
                        .invalidRequest,
                        "gate.repositories: https or ssh URLs of repositories, without a password; one that ends with / stands for all below it"
                    )
                }
                return url
            }.sorted()
            policy.packages = GatePolicy.Packages(allow: try names("allow"), deny: try names("deny") ?? [])
            if let unknown = (packages ?? [:]).keys.filter({ $0 != "allow" && $0 != "deny" }).min() {
                throw Problem(.invalidRequest, "unknown field \"gate.packages.\(unknown.prefix(60))\"; known: allow, deny")
            }
            return policy
        }
    }

    private func names(_ list: String) throws(Problem) -> [String]? {
        guard let names = packages?[list] else { return nil }
        guard names.count <= 1000 else { throw Problem(.invalidRequest, "gate.packages.\(list) has at most 1000 entries") }
        return try Set(
            names.map { text throws(Problem) in
                guard let pattern = PackageSources.pattern(text) else {
                    throw Problem(
                        .invalidRequest,
                        "gate.packages.\(list): \"\(text.prefix(60))\" is no package's name, nor the beginning of some: acme-*")
                }
                return pattern
            }
        ).sorted()
    }

    private func choice<Choice: RawRepresentable & CaseIterable>(_ text: String?, _ name: String) throws(Problem) -> Choice?
    where Choice.RawValue == String {
        guard let text else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw Problem(.invalidRequest, "gate.\(name): \(Choice.allCases.map(\.rawValue).joined(separator: " or "))")
        }
        return choice
    }

    private func number(_ number: Int?, _ name: String, _ range: ClosedRange<Int>) throws(Problem) -> Int? {
        guard let number else { return nil }
        guard range.contains(number) else {
            throw Problem(.invalidRequest, "gate.\(name): \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

extension GatePolicy {
    /// For the record: what is another now.
    func changes(from before: GatePolicy) -> [String] {
        var changes: [String] = []
        if before.dependencies != dependencies { changes.append("gate.dependencies=\(dependencies.rawValue)") }
        if before.honoursPragmas != honoursPragmas { changes.append("gate.honoursPragmas=\(honoursPragmas)") }
        if before.unscored != unscored { changes.append("gate.unscored=\(unscored.rawValue)") }
        if before.newestDays != newestDays { changes.append("gate.newestDays=\(newestDays)") }
        if before.maxDependencies != maxDependencies { changes.append("gate.maxDependencies=\(maxDependencies)") }
        if before.onAdvisory != onAdvisory { changes.append("gate.onAdvisory=\(onAdvisory.rawValue)") }
        changes += indexes.filter { !before.indexes.contains($0) }.map { "+gate.indexes:\($0)" }
        changes += before.indexes.filter { !indexes.contains($0) }.map { "-gate.indexes:\($0)" }
        changes += repositories.filter { !before.repositories.contains($0) }.map { "+gate.repositories:\($0)" }
        changes += before.repositories.filter { !repositories.contains($0) }.map { "-gate.repositories:\($0)" }
        let (old, new) = (before.packages, packages)
        if (old.allow == nil) != (new.allow == nil) { changes.append("gate.packages.allow=\(new.allow == nil ? "any" : "listed")") }
        changes += (new.allow ?? []).filter { !(old.allow ?? []).contains($0) }.map { "+gate.packages.allow:\($0)" }
        changes += (old.allow ?? []).filter { !(new.allow ?? []).contains($0) }.map { "-gate.packages.allow:\($0)" }
        changes += new.deny.filter { !old.deny.contains($0) }.map { "+gate.packages.deny:\($0)" }
        changes += old.deny.filter { !new.deny.contains($0) }.map { "-gate.packages.deny:\($0)" }
        return changes
    }
}
