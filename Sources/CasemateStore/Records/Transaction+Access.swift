import CasemateModel
import Foundation
import GRDB

extension Transaction {
    public func access() throws -> AccessRecords {
        AccessRecords(
            credentials: try credentials() + signIns(), accounts: try serviceAccounts(), grants: try grants(), issuers: try issuers())
    }

    // MARK: Service accounts

    private static let selectAccount = "SELECT a.*, n.name AS namespace FROM service_accounts a JOIN namespaces n ON n.id = a.namespace_id"

    /// By name.
    public func serviceAccounts() throws -> [ServiceAccount] {
        try Row.fetchAll(db, sql: Self.selectAccount + " ORDER BY n.name, a.name").map(ServiceAccount.init(row:))
    }

    public func serviceAccounts(in namespace: NamespaceId) throws -> [ServiceAccount] {
        try Row.fetchAll(db, sql: Self.selectAccount + " WHERE n.id = ? ORDER BY a.name", arguments: [namespace.text]).map(
            ServiceAccount.init(row:))
    }

    public func serviceAccount(_ label: AccountLabel, in namespace: NamespaceId) throws -> ServiceAccount? {
        try Row.fetchOne(db, sql: Self.selectAccount + " WHERE n.id = ? AND a.name = ?", arguments: [namespace.text, label.text]).map(
            ServiceAccount.init(row:))
    }

    public func serviceAccount(_ id: AccountId) throws -> ServiceAccount? {
        try Row.fetchOne(db, sql: Self.selectAccount + " WHERE a.id = ?", arguments: [id.text]).map(ServiceAccount.init(row:))
    }

    /// - Throws: `.conflict` when the name is taken.
    public func insert(_ account: ServiceAccount) throws {
        guard try serviceAccount(account.label, in: account.namespaceId) == nil else {
            throw Problem(.conflict, "service account \(account.label) exists already in \(account.namespace)")
        }
        try db.execute(
            sql: """
                INSERT INTO service_accounts (id, namespace_id, name, secret_hash, secret_prefix, created, created_by)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                account.id.text, account.namespaceId.text, account.label.text, Data(account.secretHash), account.secretPrefix,
                account.created.milliseconds, account.createdBy,
            ])
        try noteMaker(account.createdBy, of: account.id)
    }

    /// The account's old client secret, and every access token it led to, end with this.
    /// - Parameter maker: the subject of whoever is told it.
    public func setClientSecret(hash: [UInt8], prefix: String, of account: AccountId, by maker: String) throws {
        try db.execute(
            sql: "UPDATE service_accounts SET secret_hash = ?, secret_prefix = ? WHERE id = ?",
            arguments: [Data(hash), prefix, account.text])
        try noteMaker(maker, of: account)
        try deleteAccessTokens(of: account)
    }

    /// That whoever `maker` names may act as the account. It stays when the account, its key or its secret is gone: what was done with it
    /// stays, too.
    func noteMaker(_ maker: String, of account: AccountId) throws {
        guard !maker.isEmpty else { return }
        var makers = [maker]
        // Another may have its name some day.
        if maker.hasPrefix(ServiceAccount.subjectPrefix) {
            let parts = maker.dropFirst(ServiceAccount.subjectPrefix.count).split(separator: "/")
            if parts.count == 2, let name = NamespaceName(parts[0]), let label = AccountLabel(parts[1]),
                let namespace = try namespace(name), let made = try serviceAccount(label, in: namespace.id)
            {
                makers = [ServiceAccount.subjectPrefix + made.id.text]
            }
        }
        for maker in makers {
            try db.execute(
                sql: "INSERT OR IGNORE INTO account_makers (account_id, maker) VALUES (?, ?)", arguments: [account.text, maker])
        }
    }

    /// Who made the account, or was ever told a credential of it: subjects, and identities of service accounts.
    public func makers(of account: AccountId) throws -> Set<String> {
        Set(try String.fetchAll(db, sql: "SELECT maker FROM account_makers WHERE account_id = ?", arguments: [account.text]))
    }

    func deleteAccessTokens(of account: AccountId) throws {
        try db.execute(
            sql: "DELETE FROM account_credentials WHERE kind = 'access-token' AND account_id = ?", arguments: [account.text])
    }

    /// With its keys and grants.
    public func delete(_ account: ServiceAccount) throws {
        try db.execute(sql: "DELETE FROM service_accounts WHERE id = ?", arguments: [account.id.text])
    }

    // MARK: Grants

    /// Oldest first.
    public func grants() throws -> [Grant] {
        try Row.fetchAll(db, sql: "SELECT * FROM grants ORDER BY created, id").map(Grant.init(row:))
    }

    /// Keeps the older one where there is the same already, and answers it.
    public func insert(_ grant: Grant) throws -> Grant {
        if let known = try grants().first(where: {
            $0.subject == grant.subject && $0.permission == grant.permission && $0.resource == grant.resource
        }) {
            return known
        }
        let (namespace, function): (NamespaceId?, FunctionId?) =
            switch grant.resource {
            case .platform: (nil, nil)
            case .namespace(let id): (id, nil)
            case .function(let id, let namespace): (namespace, id)
            }
        let (kind, account, issuer, name): (String, AccountId?, IssuerId?, String?) =
            switch grant.subject {
            case .serviceAccount(let id): ("service-account", id, nil, nil)
            case .user(let issuer, let name): ("user", nil, issuer, name)
            case .group(let issuer, let name): ("group", nil, issuer, name)
            }
        try db.execute(
            sql: """
                INSERT INTO grants (id, kind, account_id, issuer_id, name, permission, namespace_id, function_id, created, created_by)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                grant.id.text, kind, account?.text, issuer?.text, name, "\(grant.permission)", namespace?.text, function?.text,
                grant.created.milliseconds,
                grant.createdBy,
            ])
        return grant
    }

    public func deleteGrant(_ id: GrantId) throws {
        try db.execute(sql: "DELETE FROM grants WHERE id = ?", arguments: [id.text])
    }
}

extension ServiceAccount {
    init(row: Row) throws {
        guard let id = AccountId(row["id"] as String), let namespaceId = NamespaceId(row["namespace_id"] as String),
            let namespace = NamespaceName(row["namespace"] as String), let label = AccountLabel(row["name"] as String)
        else { throw RecordsError.damaged }
        self.init(
            id: id, namespaceId: namespaceId, namespace: namespace, label: label, secretHash: [UInt8](row["secret_hash"] as Data),
            secretPrefix: row["secret_prefix"], created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
    }
}

extension Grant {
    init(row: Row) throws {
        guard let id = GrantId(row["id"] as String), let permission = Permission(row["permission"] as String) else {
            throw RecordsError.damaged
        }
        let subject: Subject
        let issuer = (row["issuer_id"] as String?).flatMap { IssuerId($0) }
        switch (row["kind"] as String, (row["account_id"] as String?).flatMap { AccountId($0) }, issuer, row["name"] as String?) {
        case ("service-account", let account?, nil, nil): subject = .serviceAccount(account)
        case ("user", nil, let issuer?, let name?): subject = .user(issuer, name)
        case ("group", nil, let issuer?, let name?): subject = .group(issuer, name)
        default: throw RecordsError.damaged
        }
        // What can't be read must not be taken for a wider grant.
        let namespace = try (row["namespace_id"] as String?).map { text in
            guard let id = NamespaceId(text) else { throw RecordsError.damaged }
            return id
        }
        let function = try (row["function_id"] as String?).map { text in
            guard let id = FunctionId(text) else { throw RecordsError.damaged }
            return id
        }
        let resource: Resource =
            switch (namespace, function) {
            case (nil, _): .platform
            case (let namespace?, nil): .namespace(namespace)
            case (let namespace?, let function?): .function(function, in: namespace)
            }
        self.init(
            id: id, subject: subject, permission: permission, resource: resource,
            created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
    }
}
