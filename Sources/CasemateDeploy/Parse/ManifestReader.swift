import CasemateModel

/// From a YAML tree to a `Manifest`: which keys there are, what they take, and what each one means.
/// A facet of a function is a file: `+Code`, `+Environment`, `+Secrets`, `+Injection`, `+Limits`, `+Rate`, `+Async`, `+Triggers`, `+Inputs`, `+Egress`, `+Callers`, `+Tokens`, `+Capabilities`.
///
/// Reading goes on after a fault, with the default in the value's place; whoever calls looks at `faults` in the end.
struct ManifestReader {
    static let maximumFunctions = 100
    static let keys = ["namespace", "functions"]
    /// In the order of the architecture's example, for messages.
    static let functionKeys = [
        "source", "runtime", "handler", "signature", "access", "callers", "tokens", "capabilities", "identity", "egress", "secrets",
        "secretsInResponse",
        "inputSchema", "dependencies", "gate", "env", "isolate", "limits", "rate", "scale", "async", "triggers",
    ]

    var faults: Faults
    /// For messages that name a command.
    private(set) var namespace: NamespaceName?

    init(faults: Faults) { self.faults = faults }

    mutating func manifest(from root: YAMLNode) -> Manifest? {
        let place = Place("the manifest", prefix: "")
        guard let fields = fields(of: root, at: place, known: Self.keys) else { return nil }
        namespace = fields["namespace"].flatMap { name($0) }

        guard let functions = required("functions", in: fields, line: nil, of: "the manifest", example: "functions:, then a name: for each")
        else { return nil }
        guard case .mapping(let entries) = functions.node.value else {
            mismatch(functions, "a mapping of names", fix: "write it as hello: with its settings below")
            return nil
        }
        if entries.isEmpty { faults.error(functions.line, "functions is empty", fix: "add one") }
        if entries.count > Self.maximumFunctions {
            faults.error(
                entries[Self.maximumFunctions].keyLine, "there are more than \(Self.maximumFunctions) functions", fix: "split the manifest")
        }
        return Manifest(namespace: namespace, functions: entries.prefix(Self.maximumFunctions).compactMap { function($0) })
    }

    private mutating func function(_ entry: YAMLEntry) -> FunctionManifest? {
        let label = FunctionLabel(entry.key)
        if label == nil { faults.error(entry.keyLine, "\(Wording.quoted(entry.key)) is no function name", fix: FunctionLabel.rule) }
        let title = "function \(Wording.quoted(entry.key))"
        if entry.value.isNull {
            faults.error(entry.keyLine, "\(title) has no settings", fix: "add source, runtime and handler below it")
            return nil
        }
        guard let fields = fields(of: entry.value, at: Place(title, prefix: ""), known: Self.functionKeys) else { return nil }

        let line = entry.keyLine
        let sourceField = required("source", in: fields, line: line, of: title, example: "source: ./\(label?.text ?? "hello")")
        let runtimeField = required("runtime", in: fields, line: line, of: title, example: "runtime: \(Self.runtimes[0])")
        let handlerField = required("handler", in: fields, line: line, of: title, example: "handler: handler.handle")
        let source = sourceField.flatMap { self.source($0) }
        let runtime = runtimeField.flatMap { choice($0, of: Self.runtimes) }
        let handler = handlerField.flatMap { self.handler($0) }

        let environment = fields["env"].map { self.environment($0) } ?? Environment()
        var spec = FunctionSpec(runtime: runtime ?? "", handler: handler ?? "")
        spec.signature = fields["signature"].flatMap { signature($0) }
        spec.access = fields["access"].flatMap { access($0) } ?? spec.access
        spec.environment = environment.values
        let secrets = fields["secrets"].map { self.secrets($0, function: label, environment: environment) } ?? Secrets()
        spec.secrets = secrets.lines.keys.sorted()
        spec.references = secrets.references.isEmpty ? nil : secrets.references.sorted { $0.name < $1.name }
        spec.limits = fields["limits"].map { limits($0) } ?? spec.limits
        spec.scale = fields["scale"].map { scale($0) } ?? spec.scale
        spec.rate = fields["rate"].flatMap { rate($0) }
        spec.asynchronous = fields["async"].flatMap { asynchronous($0) }
        spec.schedules = fields["triggers"].flatMap { triggers($0) }
        spec.isolation = fields["isolate"].flatMap { isolation($0, spec.limits) }
        spec.callers = fields["callers"].flatMap { callers($0) }
        spec.tokenRules = fields["tokens"].flatMap { tokenRules($0) }
        spec.capabilities = fields["capabilities"].flatMap { capabilities($0) }
        spec.audiences = fields["identity"].flatMap { audiences($0) }
        if spec.tokenRules?.audiences != nil, spec.capabilities != nil, let field = fields["tokens"] {
            faults.error(
                field.line, "tokens.audiences and capabilities don't go together: a token that was meant for something else would act here",
                fix: "remove one of them")
        }
        spec.egress = fields["egress"].flatMap { egress($0) }
        spec.secretsInResponse = fields["secretsInResponse"].flatMap { choice($0, of: ["redact", "block", "allow"]) }.flatMap {
            FunctionSpec.SecretsInResponse(rawValue: $0)
        }
        spec.injected = injected(secrets, egress: spec.egress ?? [], environment)
        var lines = ManifestLines()
        lines.access = fields["access"]?.line
        lines.egress = fields["egress"]?.line
        lines.secretsInResponse = fields["secretsInResponse"]?.line
        lines.triggers = fields["triggers"]?.line
        lines.environment = environment.lines
        spec.checks = fields["gate"].flatMap { checks($0, &lines) }
        let dependencies = fields["dependencies"].map { self.dependencies($0) }
        spec.packageSources = dependencies?.sources
        spec.inputSchema = fields["inputSchema"].flatMap { inputSchema($0) }
        if case .git(let git)? = source { spec.git = git }

        guard let label, let source, let sourceField, runtime != nil, handler != nil else { return nil }
        return FunctionManifest(
            label: label, line: line, source: source.folder, sourceLine: sourceField.line, spec: spec,
            dependencyPolicy: dependencies?.policy ?? .auto, lines: lines)
    }
}
