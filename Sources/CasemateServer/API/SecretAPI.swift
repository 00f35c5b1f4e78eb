import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

extension APIServices {
    private static var path: String { "/v1/namespaces/{namespace}/functions/{function}/secrets" }
    private static var most: Int { 100 }
    private static var mostBytes: Int { 512 << 10 }

    var secretRoutes: [APIRoute] {
        [
            APIRoute(.get, Self.path, needs: .right(.secretWrite)) { request in
                try request.allowQuery([])
                let function = try await function(try request.functionName())
                let references = catalog.catalog.function(function.id)?.spec?.references ?? []
                return .json(
                    SecretList(
                        secrets: try await records.read { try $0.secrets(of: function.id) }.map { SecretView($0) }, references: references))
            },
            APIRoute(.get, Self.path + "/{secret}", needs: .right(.secretWrite)) { request in
                try request.allowQuery([])
                let function = try await function(try request.functionName())
                let name = try secretName(request)
                let (secret, former) = try await records.read {
                    (try $0.secret(name, of: function.id), try $0.formerSecrets(of: function.id).filter { $0.secret.name == name })
                }
                guard secret != nil || !former.isEmpty else { throw Self.unknown(name, of: function) }
                return .json(SecretHistory(name: name, secret: secret, former: former))
            },
            APIRoute(.put, Self.path + "/{secret}", needs: .right(.secretWrite)) { request in
                try request.allowQuery([])
                let secret = Secret(try await request.body(limit: Secret.maximumLength))
                return .json(try await set(secret, try secretName(request), of: try request.functionName(), for: request))
            },
            APIRoute(.delete, Self.path + "/{secret}", needs: .right(.secretWrite)) { request in
                let function = try await function(try request.functionName())
                let name = try secretName(request)
                try await records.write { transaction in
                    guard try transaction.deleteSecret(name, of: function.id) else { throw Self.unknown(name, of: function) }
                    transaction.record(.secretDeleted, function.auditScope, ["secret": name.text])
                }
                try await catalog.reload(function.id)
                return .noContent
            },
            APIRoute(.post, Self.path + "/{secret}/verify", needs: .right(.secretWrite)) { request in
                try request.allowQuery([])
                let secret = Secret(try await request.body(limit: Secret.maximumLength))
                return .json(try await verify(secret, try secretName(request), of: try request.functionName(), for: request))
            },
            APIRoute(.post, Self.path + "/{secret}/rollback", needs: .right(.secretWrite)) { request in
                let body = try Self.rollback(try await request.body(limit: 4096))
                return .json(try await rollBack(to: body.version, try secretName(request), of: try request.functionName()))
            },
        ]
    }

    private func secretName(_ request: APIRequest) throws(Problem) -> VariableName {
        guard let name = VariableName(request.parameter("secret")) else { throw Problem(.invalidName, VariableName.rule) }
        guard !name.isReserved else {
            throw Problem(.invalidName, "\(name) is a name that changes how the interpreter starts; choose another")
        }
        return name
    }

    private static func unknown(_ name: VariableName, of function: Function) -> Problem {
        Problem(.notFound, "\(function.name) has no secret \(name)")
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func rollback(_ bytes: [UInt8]) throws -> SecretRollback { try StrictJSON.decode(bytes) }

    /// Stores a new version. The function need not be deployed yet: its name is reserved then.
    private func set(_ secret: Secret, _ name: VariableName, of functionName: FunctionName, for request: APIRequest) async throws
        -> SecretView
    {
        let isText = secret.withBytes { String(validating: $0, as: UTF8.self) != nil && !$0.contains(0) }
        guard secret.count > 0, isText else { throw Problem(.invalidRequest, "a secret's value is UTF-8 text without NUL, and not empty") }
        let weaknesses = secret.withBytes { SecretStrength.weaknesses(of: Array($0)) }
        let namespace = try await namespace(functionName.namespace)
        let known = try await records.read { try $0.function(functionName) }
        let id = known?.id ?? FunctionId()
        // What may be asked of another machine is not done while the database waits.
        let (key, wrapped) = try await dataKey(of: id, wrapped: known?.wrappedDataKey)
        let stored = try await records.write { transaction in
            let now = try transaction.function(functionName)
            // A right on one function makes no other of its name.
            try request.require(.secretWrite, on: now?.resource ?? .namespace(namespace.id), for: "to set a secret of \(functionName)")
            guard now?.id == known?.id else { throw Problem(.conflict, "\(functionName) was made or deleted meanwhile; try again") }
            let refusesWeak = try transaction.policy(of: namespace.id).refusesWeakSecrets
            guard weaknesses.isEmpty || !refusesWeak else {
                throw Problem(
                    .weakSecret,
                    "the value of \(name) \(SecretStrength.words(weaknesses)); the policy of \(namespace.name) refuses such values")
            }
            let function =
                now
                ?? Function(
                    id: id, namespaceId: namespace.id, name: functionName, activeRevision: nil, wrappedDataKey: wrapped, created: .now,
                    updated: .now)
            if now == nil { try transaction.insert(function) }
            let row = try Self.put(secret, name, of: function, key, weaknesses.map(\.rawValue), transaction)
            transaction.record(
                .secretSet, function.auditScope, ["secret": name.text, "version": "\(row.version)", "fingerprint": row.fingerprint])
            return row
        }
        try await catalog.reload(stored.functionId)
        return SecretView(stored)
    }

    private static func put(
        _ secret: Secret, _ name: VariableName, of function: Function, _ key: DataKey, _ weaknesses: [String], _ transaction: Transaction
    ) throws -> SealedSecret {
        // All of them are searched for in whatever the function says.
        let others = try transaction.sizeOfSecrets(of: function.id, besides: name)
        guard others.count < most, others.bytes + secret.count <= mostBytes else {
            throw Problem(.conflict, "a function has at most \(most) secrets, of \(mostBytes >> 10) KiB together")
        }
        let version = try transaction.nextSecretVersion(name, of: function.id)
        let row = SealedSecret(
            functionId: function.id, name: name, version: version, sealed: try key.seal(secret, name: name, version: version),
            fingerprint: key.fingerprint(of: secret, name: name), weaknesses: weaknesses, updated: .now)
        try transaction.put(row)
        return row
    }

    /// The function's own, or a new one.
    private func dataKey(of function: FunctionId, wrapped: WrappedKey?) async throws(Problem) -> (DataKey, WrappedKey) {
        do throws(VaultError) {
            if let wrapped { return (try await vault.open(wrapped, of: function), wrapped) }
            return try await vault.newDataKey(for: function)
        } catch {
            throw error.problem
        }
    }

    /// Whether the stored value is this one. Each question is one guess: few are answered, and each stands in the audit log.
    private func verify(_ secret: Secret, _ name: VariableName, of functionName: FunctionName, for request: APIRequest) async throws
        -> SecretComparison
    {
        let function = try await function(functionName)
        guard let stored = try await records.read({ try $0.secret(name, of: function.id) }) else { throw Self.unknown(name, of: function) }
        if let wait = comparisons.take("\(function.id)/\(name)") {
            throw Problem(
                .rateLimited, "the value of \(name) was asked for \(SecretComparisons.most) times in ten minutes; ask again in \(wait) s",
                retryAfterSeconds: wait)
        }
        let (key, _) = try await dataKey(of: function.id, wrapped: function.wrappedDataKey)
        // The stored value itself, not what is said of it: a row that was tampered with says nothing.
        let opened: [OpenedSecret]
        do throws(VaultError) { opened = try key.open([stored]) } catch { throw error.problem }
        let matches = opened.allSatisfy { key.fingerprint(of: $0.value, name: name) == key.fingerprint(of: secret, name: name) }
        try await audited(
            AuditEvent(
                .secretVerified, function.auditScope, ["secret": name.text, "version": "\(stored.version)", "matches": "\(matches)"]))
        return SecretComparison(name: name.text, version: stored.version, matches: matches)
    }

    /// The value of an earlier version becomes the newest.
    private func rollBack(to version: Int?, _ name: VariableName, of functionName: FunctionName) async throws -> SecretView {
        let function = try await function(functionName)
        let former = try await records.read { try $0.formerSecrets(of: function.id) }.first {
            $0.secret.name == name && (version == nil || $0.secret.version == version)
        }
        guard let former else {
            throw Problem(
                .notFound,
                version.map { "\(name) has no earlier version \($0); they are kept for 24 hours" }
                    ?? "\(name) has no earlier version: they are kept for 24 hours")
        }
        let (key, _) = try await dataKey(of: function.id, wrapped: function.wrappedDataKey)
        let opened: [OpenedSecret]
        do throws(VaultError) { opened = try key.open([former.secret]) } catch { throw error.problem }
        let stored = try await records.write { transaction in
            guard let now = try transaction.function(function.id) else { throw Problem.unknown(functionName) }
            let refusesWeak = try transaction.policy(of: now.namespaceId).refusesWeakSecrets
            guard former.secret.weaknesses.isEmpty || !refusesWeak else {
                throw Problem(.weakSecret, "the earlier value of \(name) is weak, and the namespace's policy refuses such values")
            }
            let row = try Self.put(opened[0].value, name, of: now, key, former.secret.weaknesses, transaction)
            transaction.record(
                .secretRolledBack, function.auditScope,
                ["secret": name.text, "from": "\(former.secret.version)", "version": "\(row.version)", "fingerprint": row.fingerprint])
            return row
        }
        try await catalog.reload(function.id)
        return SecretView(stored)
    }
}

struct SecretRollback: StrictDecodable {
    static let fields: Set<String> = ["version"]
    /// Nil for the one before.
    var version: Int?
}

struct SecretComparison: Encodable, Sendable {
    var name: String
    var version: Int
    var matches: Bool
}

struct SecretList: Encodable, Sendable {
    var secrets: [SecretView]
    /// Those of the active revision whose values are kept elsewhere.
    var references: [SecretReference]
}

/// A secret as the API shows it: everything but its value.
struct SecretView: Encodable, Sendable {
    var name: String
    var version: Int
    /// The same for the same value of this secret, and for nothing else.
    var fingerprint: String
    var updated: String
    var warnings: [String]

    init(_ secret: SealedSecret) {
        name = secret.name.text
        version = secret.version
        fingerprint = secret.fingerprint
        updated = secret.updated.rfc3339
        warnings = secret.weaknesses.compactMap { SecretStrength.Weakness(rawValue: $0)?.warning }
    }
}

/// The versions of a secret that are kept.
struct SecretHistory: Encodable, Sendable {
    struct Version: Encodable, Sendable {
        var version: Int
        var fingerprint: String
        var set: String
        /// Nil for the one in use.
        var replaced: String?
        /// When its value is destroyed.
        var keptUntil: String?
    }

    var name: String
    var versions: [Version]

    init(name: VariableName, secret: SealedSecret?, former: [FormerSecret]) {
        self.name = name.text
        versions =
            (secret.map { [Version(version: $0.version, fingerprint: $0.fingerprint, set: $0.updated.rfc3339)] } ?? [])
            + former.map {
                Version(
                    version: $0.secret.version, fingerprint: $0.secret.fingerprint, set: $0.secret.updated.rfc3339,
                    replaced: $0.replaced.rfc3339,
                    keptUntil: $0.replaced.advanced(byMilliseconds: FormerSecret.keptForMilliseconds).rfc3339)
            }
    }
}
