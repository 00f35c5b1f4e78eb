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
    /// A folder relative to the manifest, as written: never absolute, without `..`. Nil where the spec says `git`.
    public var source: String?
    public var sourceLine: Int
    public var spec: FunctionSpec
    public var dependencyPolicy: DependencyPolicy
    public var lines: ManifestLines

    init(
        label: FunctionLabel, line: Int, source: String?, sourceLine: Int, spec: FunctionSpec, dependencyPolicy: DependencyPolicy = .auto,
        lines: ManifestLines = ManifestLines()
    ) {
        self.lines = lines
        self.label = label
        self.line = line
        self.source = source
        self.sourceLine = sourceLine
        self.spec = spec
        self.dependencyPolicy = dependencyPolicy
    }
}

/// Where those fields stand that the gate has something to say of.
public struct ManifestLines: Sendable, Equatable {
    public var access: Int?
    public var egress: Int?
    public var secretsInResponse: Int?
    public var triggers: Int?
    public var environment: [VariableName: Int] = [:]
    public var checks: [UserCheck.Kind: Int] = [:]

    public init() {}
}

/// All faults of a manifest, sorted by line; warnings stand among them.
public struct ManifestError: Error, Equatable, Sendable, CustomStringConvertible {
    public let diagnostics: [Diagnostic]

    init(diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
