import CasemateModel

/// One setting: its key in the file (and, with dashes, its flag), its variable, its default, what it is for.
public struct Setting: Sendable {
    public let key: String
    public let fallback: String
    public let help: String

    /// `pool-size` → `CASEMATE_POOL_SIZE`
    public var variable: String { "CASEMATE_" + key.uppercased().map { $0 == "-" ? "_" : String($0) }.joined() }
}

/// All settings of a server. Flags override `CASEMATE_*`, those the file, that the defaults.
public enum SettingsTable {
    public static let all: [Setting] = [
        Setting(key: "data", fallback: "/var/lib/casemate/data", help: "folder of the database, keys, logs and bundles"),
        Setting(key: "listen", fallback: "127.0.0.1:8080", help: "HOST:PORT of the management API; port 0 takes a free one"),
        Setting(key: "gateway", fallback: "127.0.0.1:8081", help: "HOST:PORT for calling functions"),
        Setting(key: "user", fallback: "casemate", help: "system user that the server runs as when started by root"),
        Setting(key: "domain", fallback: "localhost", help: "suffix of the functions' host names"),
        Setting(key: "api-url", fallback: "", help: "public URL of the API, where it differs from what it listens on"),
        Setting(key: "gateway-url", fallback: "", help: "public URL of the gateway, where it differs"),
        Setting(key: "tls", fallback: "off", help: "off, or auto: a CA of its own and certificates for both listeners"),
        Setting(key: "tls-cert", fallback: "", help: "PEM file with the certificate chain"),
        Setting(key: "tls-key", fallback: "", help: "PEM file with its private key"),
        Setting(key: "trusted-proxy", fallback: "", help: "CIDRs, comma between, whose X-Forwarded-* are believed"),
        Setting(key: "pool-size", fallback: "4", help: "interpreters that wait pre-warmed, per runtime"),
        Setting(key: "pool-max", fallback: "64", help: "how many may wait when functions start quickly one after the other"),
        Setting(key: "frozen-bytes", fallback: "auto", help: "memory for frozen instances; auto: a quarter of the host's, 0: none"),
        Setting(key: "max-request-bytes", fallback: "6291456", help: "largest request body of a call"),
        Setting(key: "max-response-bytes", fallback: "33554432", help: "largest response body of a function"),
        Setting(key: "queue-workers", fallback: "32", help: "asynchronous calls that run at once"),
        Setting(key: "drain-seconds", fallback: "30", help: "how long calls that run may go on when the server is told to stop"),
        Setting(key: "log-level", fallback: "info", help: "trace, debug, info, notice, warning, error or critical"),
        Setting(key: "log-retention-days", fallback: "7", help: "days that functions' logs are kept"),
        Setting(key: "log-bytes-per-function", fallback: "67108864", help: "bytes of log kept per function"),
        Setting(key: "index-url", fallback: "", help: "package index for builds; default: PIP_INDEX_URL, else what pip uses"),
        Setting(key: "index-hosts", fallback: "", help: "further hosts, comma between, where that index keeps its files"),
        Setting(key: "resolvers", fallback: "", help: "HOST:PORT of DNS servers for functions' names, comma between; default: the host's"),
        Setting(key: "egress-connections", fallback: "256", help: "connections to the world that one function may have at once"),
        Setting(key: "egress-bytes-per-hour", fallback: "10737418240", help: "bytes that one function may move to and from the world"),
        Setting(key: "egress-authorities", fallback: "", help: "PEM file of CAs, besides the system's, for the hosts of injected secrets"),
        Setting(
            key: "kek", fallback: "file",
            help:
                "where the key-encryption key is: file, file:///PATH, aws-kms://REGION/KEY, pkcs11:…; comma between: the first wraps, the others open what they wrapped before"
        ),
        Setting(
            key: "signing-key", fallback: "file",
            help: "what revisions are signed with: file, or aws-kms://REGION/KEY (ECC_NIST_P256); what the file's key signed stays valid"),
        Setting(
            key: "aws-credentials", fallback: "", help: "file of AWS credentials; default: AWS_ACCESS_KEY_ID and so on, as up finds them"),
        Setting(key: "aws-profile", fallback: "default", help: "which of that file's profiles"),
        Setting(key: "aws-region", fallback: "", help: "region of aws-sm:// references that name none"),
        Setting(
            key: "aws-endpoint", fallback: "", help: "URL of Secrets Manager, and of the bucket of artifacts, where it is not AWS's own"),
        Setting(
            key: "kek-environment", fallback: "",
            help: "NAME=VALUE, comma between: variables for the library of a security module (SOFTHSM2_CONF)"),
        Setting(key: "secret-files", fallback: "", help: "folder below which secrets of file:// references are"),
        Setting(key: "audit-checkpoints", fallback: "", help: "second places for the audit log's checkpoints, comma between"),
        Setting(key: "audit-checkpoint-seconds", fallback: "60", help: "how often a checkpoint is written, if anything was recorded"),
        Setting(
            key: "artifacts", fallback: "",
            help: "where archives of sources lie: s3://BUCKET/PREFIX?region=REGION; default: the data folder"),
        Setting(key: "artifact-cache-size", fallback: "2GiB", help: "how much of them is kept on this machine, where they lie in a bucket"),
        Setting(key: "security-contact", fallback: "", help: "mailto: or https: for /.well-known/security.txt"),
        Setting(key: "security-expires", fallback: "", help: "RFC 3339 date for it; default: a year from the start"),
    ]

    public enum Source: String, Sendable { case flag, environment, file, fallback = "default" }

    /// The effective value of every setting, and where it comes from.
    public struct Effective: Sendable {
        public var values: [String: (value: String, source: Source)] = [:]

        public func text(_ key: String) -> String { values[key]?.value ?? "" }
    }

    /// Merges the four sources.
    /// - Throws: `.invalidRequest` naming an unknown key and the nearest known one.
    public static func resolve(flags: [String: String], environment: [String: String], file: [String: String]) throws(Problem) -> Effective
    {
        for key in file.keys.sorted() where !all.contains(where: { $0.key == key }) {
            let near = all.map(\.key).min { NearMiss.distance($0, key) < NearMiss.distance($1, key) } ?? ""
            throw Problem(.invalidRequest, "the configuration file has an unknown key \"\(key)\"; did you mean \"\(near)\"?")
        }
        var effective = Effective()
        for setting in all {
            if let value = flags[setting.key] {
                effective.values[setting.key] = (value, .flag)
            } else if let value = environment[setting.variable], !value.isEmpty {
                effective.values[setting.key] = (value, .environment)
            } else if let value = file[setting.key] {
                effective.values[setting.key] = (value, .file)
            } else {
                effective.values[setting.key] = (setting.fallback, .fallback)
            }
        }
        return effective
    }
}

/// How far two words are apart (Levenshtein), for "did you mean".
public enum NearMiss {
    public static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8.prefix(64))
        let right = Array(right.utf8.prefix(64))
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var previous = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let next = min(row[j + 1] + 1, row[j] + 1, previous + (a == b ? 0 : 1))
                previous = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[right.count]
    }
}
