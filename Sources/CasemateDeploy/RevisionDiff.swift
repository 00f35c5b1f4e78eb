import CasemateModel
import CasemateStore
import Foundation

/// What is another in one revision than in another.
public struct RevisionDiff: Sendable, Encodable {
    public struct Change: Sendable, Encodable, Equatable {
        /// Where in the spec, with dots between.
        public var path: String
        /// JSON; nil for nothing.
        public var before: String?
        public var after: String?
    }

    /// Nil where there was nothing before.
    public var from: Int?
    public var to: Int
    /// Whether they were made from different sources.
    public var source: Bool
    /// Whether they run different bundles.
    public var bundle: Bool
    public var changes: [Change]
    public var packages: ListChange<String>?
    /// Findings that only one of them has, by what is wrong.
    public var findings: ListChange<String>?

    private enum CodingKeys: String, CodingKey { case from, to, source, bundle, changes, packages, findings }

    /// With null where there is nothing: whoever reads it sees that it was looked at.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(from, forKey: .from)
        try container.encode(to, forKey: .to)
        try container.encode(source, forKey: .source)
        try container.encode(bundle, forKey: .bundle)
        try container.encode(changes, forKey: .changes)
        try container.encode(packages, forKey: .packages)
        try container.encode(findings, forKey: .findings)
    }

    /// - Parameters:
    ///   - specs: of both, opened. No value of a variable gets into what is shown.
    ///   - showsSecrets: whether whoever asks may know names of secrets.
    public init(_ before: Revision?, _ after: Revision, specs: (FunctionSpec?, FunctionSpec), showsSecrets: Bool) throws {
        from = before?.number
        to = after.number
        source = before?.sourceDigest != after.sourceDigest
        bundle = before?.bundleDigest != after.bundleDigest
        packages = Lock.change(from: before?.lock, to: after.lock)
        findings = ListChange(from: (before?.findings ?? []).map(\.what), to: after.findings.map(\.what))
        let (old, new) = (try specs.0.map(Self.leaves) ?? [:], try Self.leaves(of: specs.1))
        var changes = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.map { Change(path: $0, before: old[$0], after: new[$0]) }
        changes += Self.inputs(specs.0?.schedules ?? [], specs.1.schedules ?? [])
        changes += Self.variables(specs.0?.environment ?? [:], specs.1.environment)
        let secret = ["secrets", "references", "injected"]
        self.changes = changes.filter { change in
            showsSecrets
                || !change.path.hasSuffix(".credentials") && !secret.contains { change.path == $0 || change.path.hasPrefix($0 + ".") }
        }.sorted { $0.path < $1.path }
    }

    /// Names, and that they changed.
    private static func variables(_ old: [VariableName: String], _ new: [VariableName: String]) -> [Change] {
        Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.map { name in
            let after = new[name].map { _ in old[name] == nil ? "\"set\"" : "\"changed\"" }
            return Change(path: "env.\(name)", before: old[name].map { _ in "\"set\"" }, after: after)
        }
    }

    /// That what a schedule sends changed, and not what it is.
    private static func inputs(_ old: [ScheduleSpec], _ new: [ScheduleSpec]) -> [Change] {
        new.compactMap { schedule in
            guard let before = old.first(where: { $0.name == schedule.name }), before.input != schedule.input else { return nil }
            return Change(
                path: "schedules.\(schedule.name).input", before: before.input.map { _ in "\"set\"" },
                after: schedule.input.map { _ in "\"changed\"" })
        }
    }

    /// Each value that is no object, as JSON, under its path. Lists are one value: their order may matter.
    private static func leaves(of spec: FunctionSpec) throws -> [String: String] {
        var spec = spec
        spec.environment = [:]
        spec.sealedEnvironment = nil
        spec.schedules = spec.schedules?.map { schedule in
            var schedule = schedule
            schedule.input = schedule.input.map { _ in "set" }
            return schedule
        }
        let schemas = spec.inputSchema
        spec.inputSchema = nil
        let object = try JSONSerialization.jsonObject(with: Data(try CanonicalSpec.encode(spec)))
        var leaves: [String: String] = [:]
        let options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes]
        func compact(_ text: String) throws -> String {
            let value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
            return String(decoding: try JSONSerialization.data(withJSONObject: value, options: options), as: UTF8.self)
        }
        func visit(_ value: Any, _ path: String) throws {
            if let object = value as? [String: Any] {
                for (key, value) in object { try visit(value, path.isEmpty ? key : "\(path).\(key)") }
            } else {
                leaves[path] = String(decoding: try JSONSerialization.data(withJSONObject: value, options: options), as: UTF8.self)
            }
        }
        try visit(object, "")
        leaves["environment"] = nil
        for part in InputSchemas.Part.allCases {
            // It is JSON itself.
            if let text = schemas?[part]?.text { leaves["inputSchema.\(part.rawValue)"] = try compact(text) }
        }
        return leaves
    }
}

extension DeployPipeline {
    /// - Throws: `VaultError` where plain values can't be opened to be compared.
    public func diff(_ before: Revision?, _ after: Revision, of function: Function, showsSecrets: Bool) async throws -> RevisionDiff {
        var old: FunctionSpec? = if let before { try await opened(before, of: function) } else { nil }
        // What is live may name hosts that count only with the other.
        if let before, before.id == function.activeRevision {
            old = old?.inForce(try await records.read { try $0.grantedEgress(to: before, of: function) })
        }
        let new = try await opened(after, of: function)
        return try RevisionDiff(before, after, specs: (old, new), showsSecrets: showsSecrets)
    }
}
