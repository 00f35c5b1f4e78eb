import GRDB

/// Ordered, forward only. A released migration never changes.
enum Migrations {
    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 first tables") { db in
            try db.execute(
                sql: """
                    CREATE TABLE namespaces (
                        id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL
                    ) STRICT;
                    CREATE TABLE functions (
                        id TEXT PRIMARY KEY NOT NULL,
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE RESTRICT,
                        name TEXT NOT NULL, active_revision TEXT, wrapped_data_key BLOB NOT NULL,
                        created INTEGER NOT NULL, updated INTEGER NOT NULL,
                        last_revision INTEGER NOT NULL DEFAULT 0, UNIQUE (namespace_id, name)
                    ) STRICT;
                    CREATE TABLE revisions (
                        id TEXT PRIMARY KEY NOT NULL,
                        function_id TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        number INTEGER NOT NULL, bundle_digest TEXT NOT NULL, source_digest TEXT NOT NULL, spec BLOB NOT NULL,
                        lock TEXT, findings BLOB NOT NULL, signature BLOB NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL, UNIQUE (function_id, number)
                    ) STRICT;
                    CREATE INDEX revisions_bundle ON revisions (bundle_digest);
                    CREATE TABLE secrets (
                        function_id TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        name TEXT NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL, updated INTEGER NOT NULL,
                        PRIMARY KEY (function_id, name)
                    ) STRICT;
                    CREATE TABLE secret_versions (
                        function_id TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        name TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (function_id, name)
                    ) STRICT;
                    CREATE TABLE tokens (
                        id TEXT PRIMARY KEY NOT NULL, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, description TEXT NOT NULL,
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
                        function_id TEXT REFERENCES functions(id) ON DELETE CASCADE,
                        created INTEGER NOT NULL, expires INTEGER NOT NULL
                    ) STRICT;
                    CREATE TABLE api_keys (
                        id TEXT PRIMARY KEY NOT NULL, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, description TEXT NOT NULL,
                        created INTEGER NOT NULL, expires INTEGER
                    ) STRICT;
                    CREATE TABLE external_ids (
                        dialect TEXT NOT NULL, kind TEXT NOT NULL, namespace_id TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
                        PRIMARY KEY (dialect, kind, namespace_id, value)
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("2 egress") { db in
            try db.execute(
                sql: """
                    CREATE TABLE namespace_policies (
                        namespace_id TEXT PRIMARY KEY NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE, policy BLOB NOT NULL
                    ) STRICT;
                    CREATE TABLE egress_grants (
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
                        function TEXT NOT NULL, target TEXT NOT NULL, created INTEGER NOT NULL, created_by TEXT NOT NULL,
                        PRIMARY KEY (namespace_id, function, target)
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("3 access") { db in
            try db.execute(
                sql: """
                    CREATE TABLE service_accounts (
                        id TEXT PRIMARY KEY NOT NULL,
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
                        name TEXT NOT NULL, secret_hash BLOB NOT NULL UNIQUE, secret_prefix TEXT NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL, UNIQUE (namespace_id, name)
                    ) STRICT;
                    CREATE TABLE account_credentials (
                        id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('key', 'access-token')),
                        account_id TEXT NOT NULL REFERENCES service_accounts(id) ON DELETE CASCADE,
                        hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, description TEXT NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL, expires INTEGER NOT NULL, last_used INTEGER
                    ) STRICT;
                    CREATE INDEX account_credentials_account ON account_credentials (account_id);
                    CREATE TABLE grants (
                        id TEXT PRIMARY KEY NOT NULL,
                        account_id TEXT NOT NULL REFERENCES service_accounts(id) ON DELETE CASCADE,
                        permission TEXT NOT NULL,
                        namespace_id TEXT REFERENCES namespaces(id) ON DELETE CASCADE,
                        function_id TEXT REFERENCES functions(id) ON DELETE CASCADE,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL,
                        CHECK (function_id IS NULL OR namespace_id IS NOT NULL)
                    ) STRICT;
                    CREATE UNIQUE INDEX grants_once ON grants
                        (account_id, permission, ifnull(namespace_id, ''), ifnull(function_id, ''));
                    ALTER TABLE tokens ADD COLUMN last_used INTEGER;
                    ALTER TABLE tokens ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
                    ALTER TABLE egress_grants ADD COLUMN function_id TEXT REFERENCES functions(id) ON DELETE CASCADE;
                    """)
        }
        migrator.registerMigration("4 issuers") { db in
            try db.execute(
                sql: """
                    CREATE TABLE issuers (
                        id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, url TEXT NOT NULL UNIQUE, audiences BLOB NOT NULL,
                        username_claim TEXT NOT NULL, groups_claim TEXT NOT NULL, algorithms BLOB NOT NULL, authority TEXT,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL
                    ) STRICT;
                    CREATE TABLE grants_4 (
                        id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('service-account', 'user', 'group')),
                        account_id TEXT REFERENCES service_accounts(id) ON DELETE CASCADE,
                        issuer_id TEXT REFERENCES issuers(id) ON DELETE CASCADE, name TEXT,
                        permission TEXT NOT NULL,
                        namespace_id TEXT REFERENCES namespaces(id) ON DELETE CASCADE,
                        function_id TEXT REFERENCES functions(id) ON DELETE CASCADE,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL,
                        CHECK (function_id IS NULL OR namespace_id IS NOT NULL),
                        CHECK ((kind = 'service-account') = (account_id IS NOT NULL)),
                        CHECK ((kind = 'service-account') = (issuer_id IS NULL)), CHECK ((issuer_id IS NULL) = (name IS NULL))
                    ) STRICT;
                    INSERT INTO grants_4
                        SELECT id, 'service-account', account_id, NULL, NULL, permission, namespace_id, function_id, created, created_by
                        FROM grants;
                    DROP TABLE grants;
                    ALTER TABLE grants_4 RENAME TO grants;
                    CREATE UNIQUE INDEX grants_once ON grants (
                        kind, ifnull(account_id, ''), ifnull(issuer_id, ''), ifnull(name, ''), permission, ifnull(namespace_id, ''),
                        ifnull(function_id, ''));
                    """)
        }
        migrator.registerMigration("5 federations") { db in
            try db.execute(
                sql: """
                    CREATE TABLE federations (
                        id TEXT PRIMARY KEY NOT NULL,
                        account_id TEXT NOT NULL REFERENCES service_accounts(id) ON DELETE CASCADE,
                        issuer_id TEXT NOT NULL REFERENCES issuers(id) ON DELETE CASCADE,
                        claims BLOB NOT NULL, created INTEGER NOT NULL, created_by TEXT NOT NULL
                    ) STRICT;
                    CREATE INDEX federations_account ON federations (account_id);
                    """)
        }
        migrator.registerMigration("6 sign-ins") { db in
            try db.execute(
                sql: """
                    ALTER TABLE issuers ADD COLUMN client_id TEXT;
                    ALTER TABLE issuers ADD COLUMN scope TEXT NOT NULL DEFAULT 'openid profile email';
                    ALTER TABLE issuers ADD COLUMN allows_device INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE issuers ADD COLUMN for_pipelines INTEGER NOT NULL DEFAULT 0;
                    CREATE TABLE sign_ins (
                        id TEXT PRIMARY KEY NOT NULL, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, description TEXT NOT NULL,
                        issuer_id TEXT NOT NULL REFERENCES issuers(id) ON DELETE CASCADE,
                        subject TEXT NOT NULL, username TEXT NOT NULL, groups BLOB NOT NULL,
                        created INTEGER NOT NULL, expires INTEGER NOT NULL, last_used INTEGER
                    ) STRICT;
                    CREATE INDEX sign_ins_person ON sign_ins (issuer_id, subject);
                    CREATE TABLE sign_in_proofs (proof BLOB PRIMARY KEY NOT NULL, expires INTEGER NOT NULL) STRICT;
                    CREATE TABLE consents (
                        identity TEXT NOT NULL,
                        revision_id TEXT NOT NULL REFERENCES revisions(id) ON DELETE CASCADE,
                        created INTEGER NOT NULL, PRIMARY KEY (identity, revision_id)
                    ) STRICT;
                    CREATE INDEX consents_revision ON consents (revision_id);
                    """)
        }
        migrator.registerMigration("7 vault") { db in
            try db.execute(
                sql: """
                    ALTER TABLE functions ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
                    CREATE INDEX functions_key ON functions (key_id);
                    ALTER TABLE secrets ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
                    ALTER TABLE secrets ADD COLUMN weaknesses TEXT NOT NULL DEFAULT '';
                    CREATE TABLE former_secrets (
                        function_id TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        name TEXT NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL, updated INTEGER NOT NULL,
                        fingerprint TEXT NOT NULL, weaknesses TEXT NOT NULL, replaced INTEGER NOT NULL,
                        PRIMARY KEY (function_id, name, version)
                    ) STRICT;
                    CREATE TABLE retired_keys (key_id TEXT PRIMARY KEY NOT NULL, retired INTEGER NOT NULL) STRICT;
                    CREATE TABLE vault (one INTEGER PRIMARY KEY CHECK (one = 1), is_sealed INTEGER NOT NULL) STRICT;
                    INSERT INTO vault VALUES (1, 0);
                    """)
        }
        migrator.registerMigration("8 alerts") { db in
            try db.execute(
                sql: """
                    CREATE TABLE alerts (
                        id TEXT PRIMARY KEY NOT NULL, namespace_id TEXT REFERENCES namespaces(id) ON DELETE CASCADE,
                        kinds TEXT NOT NULL, url TEXT NOT NULL, may_reach_private INTEGER NOT NULL, cursor INTEGER NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("9 gate") { db in
            try db.execute(
                sql: """
                    ALTER TABLE functions ADD COLUMN disabled TEXT;
                    ALTER TABLE revisions ADD COLUMN components BLOB;
                    ALTER TABLE revisions ADD COLUMN sbom BLOB;
                    CREATE TABLE waivers (
                        id TEXT PRIMARY KEY NOT NULL,
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
                        function TEXT NOT NULL, finding TEXT NOT NULL, reason TEXT NOT NULL, expires INTEGER NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL
                    ) STRICT;
                    CREATE INDEX waivers_function ON waivers (namespace_id, function);
                    CREATE TABLE gate_reports (
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
                        function TEXT NOT NULL, findings BLOB NOT NULL, created INTEGER NOT NULL,
                        PRIMARY KEY (namespace_id, function)
                    ) STRICT;
                    CREATE TABLE advisories (
                        package TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY (package, id)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE advisory_database (
                        one INTEGER PRIMARY KEY CHECK (one = 1), records INTEGER NOT NULL, newest INTEGER NOT NULL,
                        imported INTEGER NOT NULL, imported_by TEXT NOT NULL, digest TEXT NOT NULL
                    ) STRICT;
                    CREATE TABLE live_advisories (
                        revision_id TEXT PRIMARY KEY NOT NULL REFERENCES revisions(id) ON DELETE CASCADE,
                        findings BLOB NOT NULL, grave INTEGER NOT NULL, looked INTEGER NOT NULL
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("10 supply chain") { db in
            try db.execute(
                sql: """
                    ALTER TABLE revisions ADD COLUMN digest TEXT NOT NULL DEFAULT '';
                    ALTER TABLE revisions ADD COLUMN provenance_digest TEXT NOT NULL DEFAULT '';
                    ALTER TABLE revisions ADD COLUMN provenance BLOB;
                    ALTER TABLE revisions ADD COLUMN author_identity TEXT NOT NULL DEFAULT '';
                    ALTER TABLE revisions ADD COLUMN code_author TEXT;
                    ALTER TABLE revisions ADD COLUMN signer TEXT;
                    ALTER TABLE revisions ADD COLUMN signed_at INTEGER;
                    ALTER TABLE revisions ADD COLUMN statement TEXT;
                    ALTER TABLE revisions ADD COLUMN statement_signature TEXT;
                    ALTER TABLE revisions ADD COLUMN state TEXT NOT NULL DEFAULT 'ready';
                    ALTER TABLE revisions ADD COLUMN needs_approval TEXT NOT NULL DEFAULT '';
                    ALTER TABLE revisions ADD COLUMN base TEXT;
                    ALTER TABLE revisions ADD COLUMN origin TEXT;
                    ALTER TABLE revisions ADD COLUMN is_pinned INTEGER NOT NULL DEFAULT 0;
                    CREATE TABLE account_makers (
                        account_id TEXT NOT NULL, maker TEXT NOT NULL, PRIMARY KEY (account_id, maker)
                    ) STRICT, WITHOUT ROWID;
                    INSERT OR IGNORE INTO account_makers SELECT id, created_by FROM service_accounts;
                    INSERT OR IGNORE INTO account_makers SELECT account_id, created_by FROM account_credentials WHERE kind = 'key';
                    INSERT OR IGNORE INTO account_makers SELECT account_id, created_by FROM federations;
                    ALTER TABLE egress_grants ADD COLUMN author_identity TEXT NOT NULL DEFAULT '';
                    CREATE TABLE egress_allowed (
                        namespace_id TEXT NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE, target TEXT NOT NULL,
                        created INTEGER NOT NULL, created_by TEXT NOT NULL, author_identity TEXT NOT NULL,
                        PRIMARY KEY (namespace_id, target)
                    ) STRICT, WITHOUT ROWID;
                    CREATE INDEX revisions_source ON revisions (source_digest);
                    CREATE INDEX revisions_state ON revisions (state) WHERE state = 'pendingApproval';
                    CREATE TABLE approvals (
                        revision_id TEXT NOT NULL REFERENCES revisions(id) ON DELETE CASCADE, identity TEXT NOT NULL,
                        approved_by TEXT NOT NULL, digest TEXT NOT NULL, comment TEXT NOT NULL, created INTEGER NOT NULL,
                        signature BLOB NOT NULL, PRIMARY KEY (revision_id, identity)
                    ) STRICT;
                    CREATE TABLE splits (
                        function_id TEXT PRIMARY KEY NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        revision_id TEXT NOT NULL REFERENCES revisions(id) ON DELETE CASCADE, percent INTEGER NOT NULL,
                        return_above INTEGER, created INTEGER NOT NULL, created_by TEXT NOT NULL
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("11 schedules") { db in
            try db.execute(
                sql: """
                    CREATE TABLE schedules (
                        id TEXT PRIMARY KEY NOT NULL, function_id TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
                        name TEXT NOT NULL, cron TEXT NOT NULL, time_zone TEXT NOT NULL, jitter INTEGER NOT NULL, missed TEXT NOT NULL,
                        is_paused INTEGER NOT NULL, input BLOB, account_id TEXT, is_of_manifest INTEGER NOT NULL, created INTEGER NOT NULL,
                        created_by TEXT NOT NULL, UNIQUE (function_id, name)
                    ) STRICT;
                    """)
        }
        return migrator
    }()
}
