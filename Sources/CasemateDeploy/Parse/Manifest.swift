public import CasemateModel

/// What a person asks for in one file: functions, and the namespace they go to.
///
/// It is a wish, checked for form alone: no folder was opened and no right was looked at.
public struct Manifest: Sendable, Equatable {
    /// nil when the file leaves it to the command line.
    public var namespace: NamespaceName?
    /// In the order of the file.
    public var functions: [FunctionManifest]
    /// What the author should know although it is allowed.
    public var warnings: [Diagnostic]

    init(namespace: NamespaceName? = nil, functions: [FunctionManifest], warnings: [Diagnostic] = []) {
        self.namespace = namespace
        self.functions = functions
        self.warnings = warnings
    }
}

/// One function of a manifest, with the lines that later stages name in their faults.
public struct FunctionManifest: Sendable, Equatable {
    public var label: FunctionLabel
    /// Line of the label, from 1.
    public var line: Int
    /// A folder relative to the manifest, as written: never absolute, without `..`.
    public var source: String
    public var sourceLine: Int
    public var spec: FunctionSpec
    public var dependencyPolicy: DependencyPolicy

    init(
        label: FunctionLabel, line: Int, source: String, sourceLine: Int, spec: FunctionSpec, dependencyPolicy: DependencyPolicy = .auto
    ) {
        self.label = label
        self.line = line
        self.source = source
        self.sourceLine = sourceLine
        self.spec = spec
        self.dependencyPolicy = dependencyPolicy
    }
}

/// How a function's dependencies may be chosen: `auto` locks what is not locked, `strict` wants a lock.
public enum DependencyPolicy: String, Sendable, CaseIterable { case auto, strict }

/// All faults of a manifest, sorted by line; warnings stand among them.
public struct ManifestError: Error, Equatable, Sendable, CustomStringConvertible {
    public let diagnostics: [Diagnostic]

    init(diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
