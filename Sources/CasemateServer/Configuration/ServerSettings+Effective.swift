import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateAWS
import CasemateModel
import Yams

extension ServerSettings {
    /// Checks every value.
    /// - Throws: `.invalidRequest` naming the setting, what is wrong, and what to do.
    public init(_ effective: SettingsTable.Effective) throws(Problem) {
        func fault(_ key: String, _ what: String) -> Problem {
            // What a security module's library reads may be secret.
            let shown = key == "kek-environment" ? "***" : Self.masked(effective.text(key))
            return Problem(
                .invalidRequest,
                "--\(key) \(shown): \(what) (from \(effective.values[key]?.source.rawValue ?? "default"))")
        }
        func optional(_ key: String) -> String? { effective.text(key).isEmpty ? nil : effective.text(key) }
        func number(_ key: String, _ range: ClosedRange<Int>) throws(Problem) -> Int {
            guard let number = Int(effective.text(key)), range.contains(number) else {
                throw fault(key, "must be a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
        func size(_ key: String, _ range: ClosedRange<Int>) throws(Problem) -> Int {
            let text = effective.text(key)
            guard let bytes = Int(text) ?? Quantity.sizeInBytes(text).map({ Int(clamping: $0) }), range.contains(bytes) else {
                throw fault(key, "must be a size from \(range.lowerBound) to \(range.upperBound) bytes, like 2GiB")
            }
            return bytes
        }
        func endpoint(_ key: String) throws(Problem) -> Endpoint {
            guard let endpoint = Endpoint(effective.text(key)) else { throw fault(key, "must be HOST:PORT, like 127.0.0.1:8080") }
            return endpoint
        }
        func url(_ key: String) throws(Problem) -> String? {
            guard let text = optional(key) else { return nil }
            guard text.hasPrefix("http://") || text.hasPrefix("https://"), !text.hasSuffix("/") else {
                throw fault(key, "must start with http:// or https:// and have no slash at its end")
            }
            return text
        }
        data = effective.text("data")
        guard data.hasPrefix("/"), !data.utf8.contains(where: { $0 < 32 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else {
            throw fault("data", "must be an absolute path")
        }
        listen = try endpoint("listen")
        gateway = try endpoint("gateway")
        user = effective.text("user")
        domain = effective.text("domain")
        apiURL = try url("api-url")
        gatewayURL = try url("gateway-url")
        guard ["off", "auto"].contains(effective.text("tls")) else { throw fault("tls", "must be off or auto") }
        switch (effective.text("tls"), optional("tls-cert"), optional("tls-key")) {
        case (_, .some(let certificate), .some(let key)): tls = .files(certificate: certificate, key: key)
        case (_, .some, nil), (_, nil, .some): throw fault("tls-cert", "--tls-cert and --tls-key go together")
        case ("off", nil, nil): tls = .off
        case ("auto", nil, nil): tls = .auto
        default: throw fault("tls", "must be off or auto")
        }
        for (key, endpoint) in [("listen", listen), ("gateway", gateway)] where tls == .off && !endpoint.isLoopback {
            throw fault(
                key,
                "plain HTTP is for loopback only; add --tls auto, or --tls-cert and --tls-key, or put a TLS proxy before 127.0.0.1")
        }
        trustedProxies = Self.list(effective.text("trusted-proxy"))
        if let wrong = trustedProxies.first(where: { AddressRange($0) == nil }) { throw fault("trusted-proxy", "\(wrong) is no CIDR") }
        poolSize = try number("pool-size", 0...1024)
        // Half a gigabyte of waiting interpreters for each 8 of the host's memory.
        let hostBytes = HostMemory.totalInBytes
        // Without a pool there is none to grow.
        poolMaximum = poolSize == 0 ? 0 : max(poolSize, min(try number("pool-max", 0...1024), hostBytes / 16 / (16 << 20)))
        frozenBytes = effective.text("frozen-bytes") == "auto" ? hostBytes / 4 : try number("frozen-bytes", 0...1 << 50)
        maximumRequestBytes = try number("max-request-bytes", 1024...1 << 30)
        maximumResponseBytes = try number("max-response-bytes", 1024...1 << 30)
        queueWorkers = try number("queue-workers", 1...1024)
        drainSeconds = try number("drain-seconds", 0...900)
        logLevel = effective.text("log-level")
        guard ["trace", "debug", "info", "notice", "warning", "error", "critical"].contains(logLevel) else {
            throw fault("log-level", "must be trace, debug, info, notice, warning, error or critical")
        }
        logRetentionInDays = try number("log-retention-days", 1...3650)
        logBytesPerFunction = try number("log-bytes-per-function", 8 << 20...1 << 40)
        indexURL = optional("index-url")
        indexHosts = Self.list(effective.text("index-hosts"))
        if let indexURL {
            do { _ = try PackageIndex(url: indexURL, fileHosts: indexHosts) } catch { throw fault("index-url", error.detail) }
        }
        resolvers = try Self.list(effective.text("resolvers")).map { text throws(Problem) in
            guard let endpoint = Endpoint(text), endpoint.port > 0, IPAddress(endpoint.host) != nil else {
                throw fault("resolvers", "\(text) must be ADDRESS:PORT, like 192.0.2.53:53")
            }
            return endpoint.description
        }
        egressAuthorities = optional("egress-authorities")
        egressConnections = try number("egress-connections", 1...65_536)
        egressBytesPerHour = try number("egress-bytes-per-hour", 1 << 20...1 << 50)
        keys = Self.list(effective.text("kek"))
        for text in keys { if let what = Self.faultOfKey(text) { throw fault("kek", "\(Self.masked(text)): \(what)") } }
        let schemes = keys.map { $0.prefix { $0 != ":" } }
        guard !keys.isEmpty else { throw fault("kek", "needs a provider") }
        guard Set(schemes).count == schemes.count else {
            throw fault("kek", "has two providers of one kind; a key file can simply be moved: stop, move it, start with its new path")
        }
        signingKey = effective.text("signing-key")
        if let what = Self.faultOfSigningKey(signingKey) { throw fault("signing-key", what) }
        awsCredentials = optional("aws-credentials")
        guard awsCredentials.map({ $0.hasPrefix("/") }) ?? true else { throw fault("aws-credentials", "must be an absolute path") }
        awsProfile = effective.text("aws-profile")
        awsRegion = optional("aws-region")
        guard awsRegion.map({ Region($0) != nil }) ?? true else { throw fault("aws-region", "is no region, like eu-west-1") }
        awsEndpoint = optional("aws-endpoint")
        if let awsEndpoint {
            do throws(AWSAddressError) { _ = try CasemateAWS.Endpoint(awsEndpoint) } catch { throw fault("aws-endpoint", "\(error)") }
        }
        keyEnvironment = [:]
        for text in Self.list(effective.text("kek-environment")) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, let name = VariableName(parts[0]), !name.isReserved, !parts[0].hasPrefix("CASEMATE") else {
                throw fault("kek-environment", "\(parts[0].prefix(60)) must be NAME=VALUE, of a library's own variable")
            }
            keyEnvironment[parts[0]] = parts[1]
        }
        secretFiles = optional("secret-files")
        guard secretFiles.map({ $0.hasPrefix("/") }) ?? true else { throw fault("secret-files", "must be an absolute path") }
        auditCheckpoints = Self.list(effective.text("audit-checkpoints"))
        for text in auditCheckpoints {
            if text.hasPrefix("s3://") {
                do throws(AWSAddressError) { _ = try AWSAddress(text) } catch { throw fault("audit-checkpoints", "\(text): \(error)") }
            } else if !text.hasPrefix("/") {
                throw fault("audit-checkpoints", "\(text) must be an absolute path, or s3://BUCKET/PREFIX?region=REGION")
            }
        }
        auditCheckpointSeconds = try number("audit-checkpoint-seconds", 1...86_400)
        artifacts = nil
        if let text = optional("artifacts") {
            let form = "must be s3://BUCKET/PREFIX?region=REGION; without it archives lie in the data folder"
            guard text.hasPrefix("s3://") else { throw fault("artifacts", form) }
            let address: AWSAddress
            do throws(AWSAddressError) { address = try AWSAddress(text) } catch { throw fault("artifacts", "\(error)") }
            guard case .s3(let place) = address, ArtifactObjects.mayLie(in: place) else { throw fault("artifacts", form) }
            artifacts = place
        }
        artifactCacheInBytes = try size("artifact-cache-size", 0...1 << 50)
        securityContact = optional("security-contact")
        securityExpires = optional("security-expires")
    }

    /// A setting's value for people: a URL may hold a password, and one of a security module its PIN, though that is refused.
    public static func masked(_ text: String) -> String {
        let value = text.replacing(#/pin-value=[^&;,]*/#, with: "pin-value=***")
        guard let start = value.firstRange(of: "//")?.upperBound, let end = value.lastIndex(of: "@"), start <= end else { return value }
        return value[..<start] + "***" + value[end...]
    }

    /// What stands between commas.
    private static func list(_ text: String) -> [String] { text.split(separator: ",").map { String($0.trimmingPrefix { $0 == " " }) } }

    /// The keys and values of a configuration file.
    /// - Throws: `.invalidRequest` for what is no flat mapping of scalars.
    public static func file(_ text: String, path: String) throws(Problem) -> [String: String] {
        guard let node = try? Yams.compose(yaml: text) else {
            if text.split(separator: "\n").allSatisfy({ $0.isEmpty || $0.hasPrefix("#") }) { return [:] }
            throw Problem(.invalidRequest, "\(path) is not valid YAML")
        }
        guard let mapping = node.mapping else {
            throw Problem(.invalidRequest, "\(path) must be a mapping like \"listen: 127.0.0.1:8080\"")
        }
        var values: [String: String] = [:]
        for (key, value) in mapping {
            guard let key = key.string, let value = value.scalar?.string else {
                throw Problem(.invalidRequest, "\(path):\(key.mark?.line ?? 0): every value is a single one")
            }
            guard values.updateValue(value, forKey: key) == nil else { throw Problem(.invalidRequest, "\(path): \"\(key)\" stands twice") }
        }
        return values
    }
}
