import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

extension APIServices {
    var secretRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/secrets", needs: .right(.secretWrite)) { request in
                try request.allowQuery([])
                let function = try await function(try request.functionName())
                return .json(
                    SecretList(secrets: try await records.read { try $0.secrets(of: function.id) }.map { SecretView($0, warnings: []) }))
            },
            APIRoute(.put, "/v1/namespaces/{namespace}/functions/{function}/secrets/{secret}", needs: .right(.secretWrite)) { request in
                let secret = Secret(try await request.body(limit: Secret.maximumLength))
                return .json(try await set(secret, try secretName(request), of: try request.functionName(), for: request))
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/functions/{function}/secrets/{secret}", needs: .right(.secretWrite)) { request in
                let function = try await function(try request.functionName())
                let name = try secretName(request)
                guard try await records.write({ try $0.deleteSecret(name, of: function.id) }) else {
                    throw Problem(.notFound, "\(function.name) has no secret \(name)")
                }
                try await catalog.reload(function.id)
                return .noContent
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

    /// Stores a new version. The function need not be deployed yet: its name is reserved then.
    private func set(_ secret: Secret, _ name: VariableName, of functionName: FunctionName, for request: APIRequest) async throws
        -> SecretView
    {
        let isText = secret.withBytes { String(validating: $0, as: UTF8.self) != nil && !$0.contains(0) }
        guard secret.count > 0, isText else { throw Problem(.invalidRequest, "a secret's value is UTF-8 text without NUL, and not empty") }
        var warnings: [String] = []
        if secret.count < 8 {
            warnings.append("the value has under 8 bytes: it is redacted only where it stands as a whole word, and easy to guess")
        }
        let namespace = try await namespace(functionName.namespace)
        let stored = try await records.write { transaction in
            let function: Function
            let known = try transaction.function(functionName)
            // A right on one function makes no other of its name.
            try request.require(
                .secretWrite, on: known?.resource ?? .namespace(namespace.id), for: "to set a secret of \(functionName)")
            if let known {
                function = known
            } else {
                let id = FunctionId()
                function = Function(
                    id: id, namespaceId: namespace.id, name: functionName, activeRevision: nil,
                    wrappedDataKey: try vault.newDataKey(for: id),
                    created: .now, updated: .now)
                try transaction.insert(function)
            }
            let version = try transaction.nextSecretVersion(name, of: function.id)
            let sealed = try vault.seal(secret, of: function.id, wrappedKey: function.wrappedDataKey, name: name, version: version)
            let row = SealedSecret(functionId: function.id, name: name, version: version, sealed: sealed, updated: .now)
            try transaction.put(row)
            return row
        }
        try await catalog.reload(stored.functionId)
        return SecretView(stored, warnings: warnings)
    }
}

struct SecretList: Encodable, Sendable { var secrets: [SecretView] }

/// A secret as the API shows it: everything but its value.
struct SecretView: Encodable, Sendable {
    var name: String
    var version: Int
    var updated: String
    var warnings: [String]

    init(_ secret: SealedSecret, warnings: [String]) {
        name = secret.name.text
        version = secret.version
        updated = secret.updated.rfc3339
        self.warnings = warnings
    }
}
