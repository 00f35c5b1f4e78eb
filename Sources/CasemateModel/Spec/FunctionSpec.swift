/// What a revision is made from, besides its bundle: the part of a manifest that the platform obeys.
///
/// Encoded with sorted keys it is what the server signs, so a field is never renamed and a new one is optional.
public struct FunctionSpec: Hashable, Sendable, Codable {
    /// Interpreter profile: `python3.11`.
    public var runtime: String
    /// `folder/file.function`
    public var handler: String
    public var signature: Signature?
    public var access: Access
    /// Empty where it is sealed.
    public var environment: [VariableName: String]
    /// `environment` as it is stored: sealed with the function's data key, in Base64; nil where there is none.
    public var sealedEnvironment: String?
    /// Names of the secrets the function gets.
    public var secrets: [VariableName]
    public var limits: Limits
    public var scale: Scale
    /// `strict` where the source must bring its whole lock; nil for `auto`.
    public var dependencyPolicy: String?
    /// Nil where all comes from the server's index, as wheels.
    public var packageSources: PackageSources?
    /// What its author has every deployment pass, tests first; nil for nothing.
    public var checks: [UserCheck]?
    /// Nil where the source was uploaded.
    public var git: GitSource?
    /// Nil for a process that serves one call after the other.
    public var isolation: Isolation?
    /// What the manifest lists, sorted; nil for nothing.
    public var egress: [AllowedHost]?
    /// What was allowed besides, for this function or for all of its namespace, sorted; nil for nothing.
    public var grantedEgress: [AllowedHost]?
    /// Those of `secrets` that are put in on the way instead, by name; nil for none.
    public var injected: [InjectedSecret]?
    /// Those of `secrets` whose value is kept elsewhere, by name; nil for none.
    public var references: [SecretReference]?
    /// Functions that may call this one, sorted; nil for none.
    public var callers: [FunctionName]?

    /// What a session of its calls may do, if the caller may; sorted, nil for nothing.
    public var capabilities: [Capability]?
    /// To whom it may prove who it is, sorted; nil for nobody.
    public var audiences: [String]?

    /// What it demands of identity providers' tokens; nil for nothing of its own.
    public var tokenRules: TokenRules?

    /// Whether the platform gives it credentials: sessions, or tokens that say who it is.
    public var hasCredentials: Bool { capabilities != nil || audiences != nil }

    /// How often it may be called; nil for as often as it can serve.
    public var rate: RateLimits?

    /// How its asynchronous calls are tried; nil for the usual way.
    public var asynchronous: AsyncRules?

    /// When it is called by itself; nil for never.
    public var schedules: [ScheduleSpec]?

    /// What its calls have to bring; nil for anything.
    public var inputSchema: InputSchemas?

    /// All that it may reach, where `granted` is what is granted now: a rollback brings no grant back that was taken since.
    public func reachable(granted: Set<AllowedHost>) -> [AllowedHost] {
        Array(Set((egress ?? []) + (grantedEgress ?? []).filter(granted.contains))).sorted()
    }

    /// As it counts where `granted` is what counts of the grants.
    public func inForce(_ granted: Set<AllowedHost>) -> FunctionSpec {
        var copy = self
        let counting = (grantedEgress ?? []).filter(granted.contains)
        copy.grantedEgress = counting.isEmpty ? nil : counting
        return copy
    }

    /// Whether the function gets the value of `secret` itself.
    public func isHandedOver(_ secret: VariableName) -> Bool { !(injected ?? []).contains { $0.name == secret } }

    public init(
        runtime: String, handler: String, signature: Signature? = nil, access: Access = .private,
        environment: [VariableName: String] = [:], secrets: [VariableName] = [], limits: Limits = Limits(), scale: Scale = Scale(),
        dependencyPolicy: String? = nil, isolation: Isolation? = nil, egress: [AllowedHost]? = nil
    ) {
        self.runtime = runtime
        self.handler = handler
        self.signature = signature
        self.access = access
        self.environment = environment
        self.secrets = secrets
        self.limits = limits
        self.scale = scale
        self.dependencyPolicy = dependencyPolicy
        self.isolation = isolation
        self.egress = egress
    }

    /// `call`: a fresh process per call, which alone gets the secrets.
    public enum Isolation: String, Codable, Sendable { case call }

    /// What becomes of an answer that holds a secret of the function's own; nil: the value is replaced by its mark.
    public var secretsInResponse: SecretsInResponse?

    /// `block`: the answer is not sent. `allow`: it is sent as it is; that takes the right `gate:waive` to deploy.
    public enum SecretsInResponse: String, Codable, Sendable { case block, allow }

    public enum Signature: String, Codable, Sendable, CaseIterable { case cognite, scaleway, kyma, azure }
    public enum Access: String, Codable, Sendable { case `private`, `public` }

    /// What one instance may use.
    public struct Limits: Hashable, Sendable, Codable {
        public var memoryInBytes: UInt64
        public var cpuInMillicores: UInt32
        public var timeoutInMilliseconds: Int
        public var tmpInBytes: UInt64
        public var pids: UInt32
        /// Calls that one instance runs at once; nil for one.
        public var concurrency: Int?

        public init(
            memoryInBytes: UInt64 = 256 << 20, cpuInMillicores: UInt32 = 1000, timeoutInMilliseconds: Int = 60_000,
            tmpInBytes: UInt64 = 64 << 20, pids: UInt32 = 64, concurrency: Int? = nil
        ) {
            self.memoryInBytes = memoryInBytes
            self.cpuInMillicores = cpuInMillicores
            self.timeoutInMilliseconds = timeoutInMilliseconds
            self.tmpInBytes = tmpInBytes
            self.pids = pids
            self.concurrency = concurrency
        }

        public static let memoryRange: ClosedRange<UInt64> = 32 << 20...16 << 30
        public static let cpuRange: ClosedRange<UInt32> = 50...16_000
        public static let timeoutRange: ClosedRange<Int> = 100...900_000
        public static let tmpRange: ClosedRange<UInt64> = 1 << 20...4 << 30
        public static let pidsRange: ClosedRange<UInt32> = 4...1024
        public static let concurrencyRange = 1...256
    }

    /// How many instances there may be.
    public struct Scale: Hashable, Sendable, Codable {
        public var max: Int
        public var idleInMilliseconds: Int
        /// Kept up, called or not; nil for none.
        public var min: Int?

        public init(max: Int = 10, idleInMilliseconds: Int = 600_000, min: Int? = nil) {
            self.max = max
            self.min = min
            self.idleInMilliseconds = idleInMilliseconds
        }

        public static let maxRange = 1...100
        public static let idleRange = 1_000...86_400_000
    }
}
