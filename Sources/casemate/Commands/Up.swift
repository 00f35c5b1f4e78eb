import ArgumentParser
import CasemateLinux
import CasemateModel
import CasemateServer
import CLinux
import Foundation
import Glibc

/// What every command that starts a server takes.
struct ServerOptions: ParsableArguments {
    @Option(help: "YAML file with settings; flags and CASEMATE_* variables override it.")
    var config: String?
    @Option(help: "Folder of database, keys, logs and bundles (/var/lib/casemate/data).")
    var data: String?
    @Option(help: "HOST:PORT of the management API (127.0.0.1:8080); port 0 takes a free one.")
    var listen: String?
    @Option(help: "HOST:PORT for calling functions (127.0.0.1:8081).")
    var gateway: String?
    @Option(help: "System user that the server runs as (casemate); made when it is missing.")
    var user: String?
    @Option(help: "Suffix of the functions' host names (localhost).")
    var domain: String?
    @Option(name: .customLong("api-url"), help: "Public URL of the API, where it differs from what it listens on.")
    var apiURL: String?
    @Option(name: .customLong("gateway-url"), help: "Public URL of the gateway, where it differs.")
    var gatewayURL: String?
    @Option(help: "off, or auto: a CA of its own and certificates for both listeners.")
    var tls: String?
    @Option(help: "PEM file with the certificate chain.")
    var tlsCert: String?
    @Option(help: "PEM file with its private key.")
    var tlsKey: String?
    @Option(help: "CIDRs, comma between, whose X-Forwarded-* are believed (none).")
    var trustedProxy: String?
    @Option(help: "Interpreters that wait pre-warmed, per runtime (4).")
    var poolSize: Int?
    @Option(help: "How many may wait when functions start quickly one after the other (64).")
    var poolMax: Int?
    @Option(help: "Memory for frozen instances in bytes; auto: a quarter of the host's, 0: none (auto).")
    var frozenBytes: String?
    @Option(name: .customLong("index-url"), help: "Package index for builds (PIP_INDEX_URL, else what pip uses).")
    var indexURL: String?
    @Option(help: "Further hosts, comma between, where that index keeps its files.")
    var indexHosts: String?
    @Option(help: "ADDRESS:PORT of DNS servers for the names that functions may reach, comma between (the host's).")
    var resolvers: String?
    @Option(help: "Connections to the world that one function may have at once (256).")
    var egressConnections: Int?
    @Option(help: "Bytes that one function may move to and from the world within an hour (10737418240).")
    var egressBytesPerHour: Int?
    @Option(help: "PEM file of CAs that are trusted, besides the system's, for the hosts of injected secrets.")
    var egressAuthorities: String?
    @Option(help: "Largest request body of a call, in bytes (6291456).")
    var maxRequestBytes: Int?
    @Option(help: "Largest response body of a function, in bytes (33554432).")
    var maxResponseBytes: Int?
    @Option(help: "Days that functions' logs are kept (7).")
    var logRetentionDays: Int?
    @Option(help: "Bytes of log kept per function (67108864).")
    var logBytesPerFunction: Int?
    @Option(
        help:
            "Where the key-encryption key is: file, file:///PATH, aws-kms://REGION/KEY or pkcs11:…; comma between: the first wraps, the others open what they wrapped before (file)."
    )
    var kek: String?
    @Option(help: "What revisions are signed with: file, or aws-kms://REGION/KEY, a key of the kind ECC_NIST_P256 (file).")
    var signingKey: String?
    @Option(help: "File of AWS credentials (AWS_ACCESS_KEY_ID and so on, as up finds them).")
    var awsCredentials: String?
    @Option(help: "Which of that file's profiles (default).")
    var awsProfile: String?
    @Option(help: "Region of aws-sm:// references that name none.")
    var awsRegion: String?
    @Option(help: "URL of Secrets Manager, and of the bucket of artifacts, where it is not AWS's own.")
    var awsEndpoint: String?
    @Option(help: "NAME=VALUE, comma between: variables for the library of a security module.")
    var kekEnvironment: String?
    @Option(help: "Folder below which secrets of file:// references are.")
    var secretFiles: String?
    @Option(
        help:
            "Second places for the audit log's checkpoints, comma between: files that are only added to, s3://BUCKET/PREFIX?region=REGION.")
    var auditCheckpoints: String?
    @Option(help: "How often a checkpoint is written, if anything was recorded, in seconds (60).")
    var auditCheckpointSeconds: Int?
    @Option(help: "Where archives of sources lie: s3://BUCKET/PREFIX?region=REGION (the data folder).")
    var artifacts: String?
    @Option(help: "How much of them is kept on this machine, where they lie in a bucket: bytes, or like 512MiB (2GiB).")
    var artifactCacheSize: String?
    @Option(help: "Asynchronous calls that run at once (32).")
    var queueWorkers: Int?
    @Option(help: "Seconds for which calls that run may go on when the server is told to stop (30).")
    var drainSeconds: Int?
    @Option(help: "mailto: or https: for /.well-known/security.txt.")
    var securityContact: String?
    @Option(help: "RFC 3339 date for it; default a year from the start.")
    var securityExpires: String?
    @Option(help: "trace, debug, info, notice, warning, error or critical (info).")
    var logLevel: String?

    private var flags: [String: String] {
        let given: [(String, String?)] = [
            ("data", data.map(Self.absolute)), ("listen", listen), ("gateway", gateway), ("user", user), ("domain", domain),
            ("api-url", apiURL),
            ("gateway-url", gatewayURL), ("tls", tls), ("tls-cert", tlsCert.map(Self.absolute)), ("tls-key", tlsKey.map(Self.absolute)),
            ("trusted-proxy", trustedProxy), ("pool-size", poolSize.map(String.init)),
            ("pool-max", poolMax.map(String.init)), ("frozen-bytes", frozenBytes), ("index-url", indexURL), ("index-hosts", indexHosts),
            ("resolvers", resolvers), ("egress-connections", egressConnections.map(String.init)),
            ("egress-authorities", egressAuthorities.map(Self.absolute)), ("egress-bytes-per-hour", egressBytesPerHour.map(String.init)),
            ("queue-workers", queueWorkers.map(String.init)), ("drain-seconds", drainSeconds.map(String.init)),
            ("log-level", logLevel),
            ("max-request-bytes", maxRequestBytes.map(String.init)), ("max-response-bytes", maxResponseBytes.map(String.init)),
            ("log-retention-days", logRetentionDays.map(String.init)), ("log-bytes-per-function", logBytesPerFunction.map(String.init)),
            ("kek", kek), ("signing-key", signingKey), ("aws-credentials", awsCredentials.map(Self.absolute)), ("aws-profile", awsProfile),
            ("aws-region", awsRegion),
            ("aws-endpoint", awsEndpoint), ("kek-environment", kekEnvironment), ("secret-files", secretFiles.map(Self.absolute)),
            ("audit-checkpoints", auditCheckpoints),
            ("audit-checkpoint-seconds", auditCheckpointSeconds.map(String.init)),
            ("artifacts", artifacts), ("artifact-cache-size", artifactCacheSize),
            ("security-contact", securityContact), ("security-expires", securityExpires),
        ]
        return Dictionary(uniqueKeysWithValues: given.compactMap { entry in entry.1.map { (entry.0, $0) } })
    }

    /// Sockets of a service manager, by the settings that say where to listen.
    static let handedSettings = ["listen": "api", "gateway": "gateway"]

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

    /// - Parameter handed: stand for flags.
    func effective(handed: HandedSockets? = nil) throws -> SettingsTable.Effective {
        do {
            var file: [String: String] = [:]
            if let config {
                guard let text = try? String(contentsOfFile: config, encoding: .utf8) else {
                    throw CommandFailure("\(config) can't be read", code: 2)
                }
                file = try ServerSettings.file(text, path: config)
            }
            var flags = flags
            // What is listened on is what counts: without TLS it may be loopback alone.
            for (key, name) in Self.handedSettings { if let socket = handed?.sockets[name] { flags[key] = socket.address } }
            return try SettingsTable.resolve(flags: flags, environment: ProcessInfo.processInfo.environment, file: file)
        } catch let problem as Problem {
            throw CommandFailure(problem.detail, code: 2)
        }
    }

    static func settings(_ effective: SettingsTable.Effective) throws -> ServerSettings {
        do { return try ServerSettings(effective) } catch { throw CommandFailure(error.detail, code: 2) }
    }
}

struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Start a server on this machine: API, gateway and warden. Ctrl-C stops it.",
        discussion: """
            Needs root: the warden makes sandboxes. The server itself runs as --user. Data, keys and bundles lie in --data; the first start \
            makes them, and an administrator's key in DIR/admin.key.
            """)

    @OptionGroup var options: ServerOptions

    func run() async throws {
        guard geteuid() == 0 else {
            throw CommandFailure(
                "casemate up needs root, because its warden makes sandboxes (starting it as an ordinary user comes later); try: sudo casemate up",
                code: 2)
        }
        let handed: HandedSockets?
        do { handed = try HandedSockets.take(["api", "gateway"]) } catch { throw CommandFailure("\(error)", code: 2) }
        let effective = try options.effective(handed: handed)
        let settings = try ServerOptions.settings(effective)
        guard let installation = Installation.find() else {
            throw CommandFailure("the warden and the runtimes' files were not found; set CASEMATE_LIBEXEC, or see: casemate doctor")
        }
        let faults = HostCheck.run().filter { $0.verdict == .missing }
        guard faults.isEmpty else {
            throw CommandFailure("this host is not ready:\n" + faults.map { "  \($0.what): \($0.fix)" }.joined(separator: "\n"))
        }
        let setup = HostSetup(settings: settings)
        let account = try setup.account()
        try setup.folders(for: account)
        try setup.runtime("python3.11")
        try HostSetup.tools(installation)
        let tls = try TLSFiles(settings: settings)
        let authorities = try TLSFiles.authorities(settings)
        let key = try setup.adminKey()
        let clientFile = try setup.newClientConfiguration(key: key, ca: tls?.ca)

        var generator = SystemRandomNumberGenerator()
        let instance = "c" + String(generator.next() as UInt64, radix: 16)
        var pair: [Int32] = [-1, -1]
        try check(cl_socketpair_stream(&pair), "making the lifeline")
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        // A session of its own: Ctrl-C is the server's, which ends the warden in its turn.
        let warden = try spawn(
            [
                installation.warden, "--instance", instance, "--store", settings.data + "/warden", "--runtimes",
                Installation.runtimesFolder,
                "--parts", installation.runtimes, "--tools", Installation.toolsFolder, "--peer-uid", "\(account.uid)", "--lifeline", "3",
            ], descriptors: [null, 2, 2, pair[1]], newSession: true)
        close(pair[1])
        close(null)

        // A crash's report would hold registers, and what memory they point to.
        var environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "SWIFT_BACKTRACE=enable=no"]
        // The server has no pip to ask.
        if settings.indexURL == nil {
            let index = try HostPip.index()
            environment += ["CASEMATE_INDEX_URL=\(index.url)", "CASEMATE_INDEX_HOSTS=\(index.fileHosts.joined(separator: ","))"]
        }
        for (name, entry) in effective.values where !entry.value.isEmpty {
            guard let setting = SettingsTable.all.first(where: { $0.key == name }) else { continue }
            environment.append("\(setting.variable)=\(entry.value)")
        }
        func add(_ variable: ServeEnvironment.Variable, _ value: String) { environment.append("\(variable.rawValue)=\(value)") }
        add(.socket, "/run/casemate/\(instance)/warden.sock")
        add(.wardenPID, "\(warden)")
        add(.lifeline, "\(pair[0])")
        add(.keyHash, HostSetup.hash(key))
        add(.keyPrefix, String(key.prefix(8)))
        add(.keyPath, settings.data + "/admin.key")
        add(.uid, "\(account.uid)")
        add(.gid, "\(account.gid)")
        if let clientFile { add(.clientConfiguration, "\(clientFile)") }
        if let tls { add(.tls, "\(tls.descriptor)") }
        if let authorities { add(.authorities, "\(authorities)") }
        let credentials = try ServiceCredentials.handOn()
        let aws = try CloudCredentials.handOn()
        if let aws { add(.aws, "\(aws)") }
        if let credentials { add(.credentials, "\(credentials)") }
        let (api, gateway) = (handed?.sockets["api"]?.descriptor, handed?.sockets["gateway"]?.descriptor)
        if let api { add(.apiSocket, "\(api)") }
        if let gateway { add(.gatewaySocket, "\(gateway)") }
        for fd in [pair[0], clientFile, tls?.descriptor, authorities, credentials, aws, api, gateway].compactMap({ $0 }) {
            cl_set_cloexec(fd, 0)
        }
        guard let executable = Installation.executable else { throw CommandFailure("the executable's own path is not known") }
        let failure = withCStrings([executable, "serve"]) { argv in withCStrings(environment) { cl_exec(executable, argv, $0) } }
        throw SystemError("starting the server", errno: -failure)
    }
}

/// The server alone, as `up` starts it.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The server process, started by up.", shouldDisplay: false)

    @OptionGroup var options: ServerOptions

    func run() async throws {
        let settings = try ServerOptions.settings(try options.effective())
        guard let environment = ServeEnvironment() else { throw CommandFailure("serve is started by: casemate up", code: 2) }
        guard geteuid() != 0 else { throw CommandFailure("the server never runs as root", code: 2) }
        do {
            try await Server(settings: settings, environment: environment).run()
        } catch {
            throw CommandFailure("the server could not start: \(error)")
        }
    }
}
