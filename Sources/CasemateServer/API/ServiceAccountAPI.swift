import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

/// Identities of machines, and what they show.
extension APIServices {
    var serviceAccountRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/service-accounts", needs: .right(.namespaceAdmin)) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                let (accounts, credentials) = try await records.read {
                    (try $0.serviceAccounts(in: namespace.id), try $0.credentials())
                }
                return .json(AccountList(serviceAccounts: accounts.map { AccountView($0, credentials: credentials) }))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/service-accounts", needs: .right(.namespaceAdmin)) { request in
                let body: NewAccount = try await request.json()
                let namespace = try await namespace(try request.namespace())
                return .json(try await create(body, in: namespace, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/service-accounts/{account}", needs: .right(.namespaceAdmin)) { request in
                let account = try await account(request)
                try await changeAccess { transaction in
                    try transaction.delete(account)
                    transaction.record(.accountDeleted, account.auditScope, ["account": account.subject])
                }
                return .noContent
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/service-accounts/{account}/secret", needs: .right(.namespaceAdmin)) { request in
                let account = try await account(request)
                let fresh = FreshCredential(.clientSecret)
                try await changeAccess { transaction in
                    try Self.mayActAs(account, request, transaction)
                    try transaction.setClientSecret(
                        hash: fresh.hash.bytes, prefix: fresh.prefix, of: account.id, by: request.principal.subject)
                    transaction.record(
                        .credentialCreated, account.auditScope,
                        ["account": account.subject, "kind": "client-secret", "prefix": fresh.prefix])
                }
                return .json(NewSecretView(clientId: account.id.text, clientSecret: fresh.text))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/service-accounts/{account}/keys", needs: .right(.namespaceAdmin)) { request in
                let body: NewKey = try await request.json()
                let account = try await account(request)
                return .json(try await createKey(body, of: account, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/service-accounts/{account}/keys/{key}", needs: .right(.namespaceAdmin)) {
                request in
                let account = try await account(request)
                guard let id = KeyId(request.parameter("key")) else { throw Problem(.invalidRequest, "a key's id is a UUID") }
                try await changeAccess { transaction in
                    guard try transaction.deleteCredential(id, of: account.id) else {
                        throw Problem(.notFound, "\(account.label) has no such key")
                    }
                    transaction.record(.credentialRevoked, account.auditScope, ["account": account.subject, "key": id.text])
                }
                return .noContent
            },
        ]
    }

    func account(_ request: APIRequest) async throws -> ServiceAccount {
        guard let label = AccountLabel(request.parameter("account")) else { throw Problem(.invalidName, AccountLabel.rule) }
        let namespace = try await namespace(try request.namespace())
        guard let account = try await records.read({ try $0.serviceAccount(label, in: namespace.id) }) else {
            throw Self.unknown(label, in: namespace.name)
        }
        return account
    }

    private static func unknown(_ label: AccountLabel, in namespace: NamespaceName) -> Problem {
        Problem(.notFound, "there is no service account \(label) in \(namespace)")
    }

    /// Whoever gets a credential of an account has the account's rights: nobody takes more than they have.
    /// - Throws: `.notFound` where the account has gone meanwhile; `.forbidden`.
    static func mayActAs(_ account: ServiceAccount, _ request: APIRequest, _ transaction: Transaction) throws {
        guard try transaction.serviceAccount(account.id) != nil else { throw unknown(account.label, in: account.namespace) }
        let principal = request.principal
        try request.require(.namespaceAdmin, on: .namespace(account.namespaceId), for: "this")
        for grant in try transaction.grants() where grant.subject == .serviceAccount(account.id) {
            guard grant.rights.isSubset(of: principal.rights.on(grant.resource)) else {
                throw Problem(
                    .forbidden, "\(account.subject) holds \(grant.permission) where you do not; someone who does makes its credentials")
            }
        }
    }

    private func create(_ body: NewAccount, in namespace: Namespace, for request: APIRequest) async throws -> AccountView {
        let fresh = FreshCredential(.clientSecret)
        let account = ServiceAccount(
            id: AccountId(), namespaceId: namespace.id, namespace: namespace.name, label: body.name, secretHash: fresh.hash.bytes,
            secretPrefix: fresh.prefix, created: .now, createdBy: request.principal.subject)
        var grant: Grant?
        if let text = body.role {
            guard let role = Role(rawValue: text) else {
                throw Problem(.invalidRequest, "role must be one of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            grant = Grant(
                id: GrantId(), subject: .serviceAccount(account.id), permission: .role(role), resource: .namespace(namespace.id),
                created: .now, createdBy: request.principal.subject)
        }
        try await changeAccess { [grant] transaction in
            guard try transaction.namespace(namespace.name)?.id == namespace.id else { throw Problem.unknown(namespace.name) }
            try request.require(.namespaceAdmin, on: .namespace(namespace.id), for: "this")
            try transaction.insert(account)
            transaction.record(
                .accountCreated, account.auditScope, ["account": account.subject, "role": grant.map { "\($0.permission)" } ?? "none"])
            if let grant { _ = try transaction.insert(try Self.grantable(grant, by: request.principal)) }
        }
        var view = AccountView(account, credentials: [])
        view.clientSecret = fresh.text
        view.role = body.role
        return view
    }

    private static var mostKeys: Int { 50 }

    private func createKey(_ body: NewKey, of account: ServiceAccount, for request: APIRequest) async throws -> KeyView {
        guard (1...3650).contains(body.expiresInDays ?? 90) else {
            throw Problem(.invalidRequest, "expiresInDays must be a number from 1 to 3650")
        }
        guard (body.description ?? "").utf8.count <= 200 else { throw Problem(.invalidRequest, "a description is at most 200 bytes") }
        let fresh = FreshCredential.apiKey()
        let now = Timestamp.now
        let id = KeyId()
        let stored = StoredCredential(
            holder: .serviceAccount(account.id, id, .key), hash: fresh.hash.bytes, prefix: fresh.prefix,
            description: body.description ?? "", created: now,
            expires: now.advanced(byMilliseconds: Int64(body.expiresInDays ?? 90) * 86_400_000), createdBy: request.principal.subject)
        try await changeAccess { transaction in
            try Self.mayActAs(account, request, transaction)
            guard try transaction.credentials(of: account.id, .key).count < Self.mostKeys else {
                throw Problem(.conflict, "\(account.label) has \(Self.mostKeys) keys already; revoke what is not needed")
            }
            try transaction.insert(stored)
            transaction.record(
                .credentialCreated, account.auditScope, ["account": account.subject, "kind": "key", "prefix": fresh.prefix, "key": id.text])
        }
        var view = KeyView(stored, id: id)
        view.key = fresh.text
        return view
    }
}

struct NewAccount: StrictDecodable {
    static let fields: Set<String> = ["name", "role"]
    var name: AccountLabel
    /// On its namespace; without one it may do nothing until something is granted.
    var role: String?
}

struct NewKey: StrictDecodable {
    static let fields: Set<String> = ["description", "expiresInDays"]
    var description: String?
    var expiresInDays: Int?
}

struct NewSecretView: Encodable, Sendable {
    var clientId: String
    var clientSecret: String
}

struct AccountList: Encodable, Sendable { var serviceAccounts: [AccountView] }

struct AccountView: Encodable, Sendable {
    var subject: String
    var name: String
    var clientId: String
    /// Only in the answer that made it.
    var clientSecret: String?
    var secretPrefix: String
    var role: String?
    var created: String
    var createdBy: String
    var keys: [KeyView]

    init(_ account: ServiceAccount, credentials: [StoredCredential]) {
        subject = account.subject
        name = account.label.text
        clientId = account.id.text
        secretPrefix = account.secretPrefix
        created = account.created.rfc3339
        createdBy = account.createdBy
        keys = credentials.compactMap { credential in
            guard case .serviceAccount(account.id, let id, .key) = credential.holder else { return nil }
            return KeyView(credential, id: id)
        }
    }
}

struct KeyView: Encodable, Sendable {
    var id: String
    /// Only in the answer that made it.
    var key: String?
    var prefix: String
    var description: String
    var created: String
    var createdBy: String
    var expires: String?
    /// To within some seconds; nil where it never was.
    var lastUsed: String?

    init(_ credential: StoredCredential, id: KeyId) {
        self.id = id.text
        prefix = credential.prefix
        description = credential.description
        created = credential.created.rfc3339
        createdBy = credential.createdBy
        expires = credential.expires?.rfc3339
        lastUsed = credential.lastUsed?.rfc3339
    }
}
