import CasemateAWS
import CasemateModel
import Testing

@testable import CasemateServer

@Suite("Checks of a server's settings")
struct ServerSettingsTests {
    private func settings(_ values: [String: String]) throws -> ServerSettings {
        try ServerSettings(try SettingsTable.resolve(flags: values, environment: [:], file: [:]))
    }

    /// What is wrong with these values; the message names the setting.
    private func expectFault(_ key: String, _ values: [String: String], sourceLocation: SourceLocation = #_sourceLocation) {
        let problem = #expect(throws: Problem.self, "\(values)", sourceLocation: sourceLocation) { try settings(values) }
        #expect(problem?.code == .invalidRequest, sourceLocation: sourceLocation)
        #expect(problem?.detail.hasPrefix("--\(key) ") == true, "\(problem?.detail ?? "")", sourceLocation: sourceLocation)
    }

    @Test("the defaults are sound, and listen on loopback alone")
    func defaults() throws {
        let settings = try settings([:])
        #expect(settings.listen == ServerSettings.Endpoint(host: "127.0.0.1", port: 8080))
        #expect(settings.gateway == ServerSettings.Endpoint(host: "127.0.0.1", port: 8081))
        #expect(settings.tls == .off)
        #expect(settings.trustedProxies.isEmpty && settings.apiURL == nil)
        #expect(settings.maximumRequestBytes == 6 << 20)
    }

    @Test(
        "plain HTTP beyond loopback is refused, for either listener",
        arguments: [
            "0.0.0.0:8080", "[::]:8080", "192.168.1.4:80", "casemate.example:8080", "128.0.0.1:80", "[fe80::1]:80", "localhost.example:80",
        ])
    func plainBeyondLoopback(endpoint: String) throws {
        for key in ["listen", "gateway"] {
            expectFault(key, [key: endpoint])
            #expect(try settings([key: endpoint, "tls": "auto"]).tls == .auto)
            #expect(try settings([key: endpoint, "tls-cert": "/c", "tls-key": "/k"]).tls == .files(certificate: "/c", key: "/k"))
        }
    }

    @Test("a name that only begins like a loopback address is not loopback", arguments: ["127.example.com:8080", "127.0.0.1.nip.io:8080"])
    func loopbackLookalike(endpoint: String) { expectFault("listen", ["listen": endpoint]) }

    @Test("plain HTTP on loopback is taken", arguments: ["127.0.0.1:0", "127.8.9.1:65535", "localhost:1", "[::1]:8080"])
    func plainOnLoopback(endpoint: String) throws { #expect(try settings(["listen": endpoint, "gateway": endpoint]).listen.isLoopback) }

    @Test(
        "what is no HOST:PORT is refused",
        arguments: ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "a b:1", "[]:1"])
    func endpoints(endpoint: String) {
        #expect(ServerSettings.Endpoint(endpoint) == nil)
        expectFault("listen", ["listen": endpoint])
        expectFault("gateway", ["gateway": endpoint])
    }

    @Test("an endpoint's text leads back to it", arguments: ["127.0.0.1:0", "[::1]:65535", "host.example:443"])
    func endpointText(text: String) { #expect(ServerSettings.Endpoint(text)?.description == text) }

    @Test("a certificate and its key go together, and tls is off or auto")
    func tls() {
        expectFault("tls-cert", ["tls-cert": "/c"])
        expectFault("tls-cert", ["tls-key": "/k"])
        expectFault("tls-cert", ["tls": "auto", "tls-key": "/k"])
        expectFault("tls", ["tls": "on"])
        expectFault("tls", ["tls": "AUTO"])
    }

    @Test("a value of tls that is none is refused also beside a certificate")
    func tlsBesideFiles() { expectFault("tls", ["tls": "yes", "tls-cert": "/c", "tls-key": "/k"]) }

    @Test(
        "numbers have ranges",
        arguments: [
            ("pool-size", 0, 1024), ("max-request-bytes", 1024, 1 << 30), ("max-response-bytes", 1024, 1 << 30),
            ("log-retention-days", 1, 3650),
            ("log-bytes-per-function", 8 << 20, 1 << 40),
        ])
    func numbers(key: String, least: Int, most: Int) throws {
        _ = try settings([key: "\(least)"])
        _ = try settings([key: "\(most)"])
        for wrong in ["\(least - 1)", "\(most + 1)", "", "x", "1.5", "1e3", "4 ", "99999999999999999999"] { expectFault(key, [key: wrong]) }
    }

    @Test("URLs are http or https, without a slash at the end", arguments: ["api-url", "gateway-url"])
    func urls(key: String) throws {
        _ = try settings([key: "https://casemate.example/api"])
        for wrong in ["casemate.example", "ftp://x", "https://x/", "javascript:1"] { expectFault(key, [key: wrong]) }
    }

    @Test("trusted proxies are CIDRs")
    func trustedProxy() throws {
        #expect(
            try settings(["trusted-proxy": "10.0.0.0/8, fd00::/8,127.0.0.1"]).trustedProxies == ["10.0.0.0/8", "fd00::/8", "127.0.0.1"])
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0.0/8;::1"] { expectFault("trusted-proxy", ["trusted-proxy": wrong]) }
    }

    @Test("the data folder is an absolute path, the log level one of seven")
    func others() throws {
        for wrong in ["", "data", "./data", "/a\nb", "/a\"b"] { expectFault("data", ["data": wrong]) }
        for wrong in ["", "INFO", "verbose"] { expectFault("log-level", ["log-level": wrong]) }
        #expect(try settings(["log-level": "trace"]).logLevel == "trace")
    }

    @Test(
        "the package index is at an https name",
        arguments: ["http://index.example.org/simple", "index.example.org", "https://127.0.0.1/simple", "file:///x", "https:///simple"])
    func index(url: String) throws {
        expectFault("index-url", ["index-url": url])
        _ = try settings(["index-url": "https://index.example.org/simple", "index-hosts": "files.example.org, x.example"])
        expectFault("index-url", ["index-url": "https://index.example.org/simple", "index-hosts": "10.0.0.1"])
    }

    @Test("a package index with a port that is none is refused, not a crash")
    func indexPort() async {
        await #expect(processExitsWith: .success) {
            let effective = try SettingsTable.resolve(
                flags: ["index-url": "https://index.example.org:70000/simple"], environment: [:], file: [:])
            guard (try? ServerSettings(effective)) == nil else { throw Problem(.internalError, "taken") }
        }
    }

    @Test("archives lie in the data folder, or beneath a prefix of a bucket")
    func artifacts() throws {
        #expect(try settings([:]).artifacts == nil)
        #expect(try settings(["artifacts": "s3://our-bucket/casemate/a?region=eu-west-1"]).artifacts?.prefix?.text == "casemate/a")
        let long = String(repeating: "p", count: 1000)
        for wrong in [
            "s3://our-bucket?region=eu-west-1", "s3://our-bucket/?region=eu-west-1", "s3://our-bucket/p", "s3://b/p?region=eu-west-1",
            "s3://our-bucket/p?region=eu-west-1&acl=public", "/srv/artifacts", "https://our-bucket.s3.amazonaws.com/p",
            "aws-kms://eu-west-1/alias/a", "s3://our-bucket/\(long)?region=eu-west-1",
        ] { expectFault("artifacts", ["artifacts": wrong]) }
    }

    @Test("sizes are bytes, or have a unit")
    func sizes() throws {
        #expect(try settings([:]).artifactCacheInBytes == 2 << 30)
        for (text, bytes) in [("0", 0), ("1000", 1000), ("64KiB", 64 << 10), ("512MiB", 512 << 20), ("3GiB", 3 << 30)] {
            #expect(try settings(["artifact-cache-size": text]).artifactCacheInBytes == bytes)
        }
        for wrong in ["", "-1", "2GB", "2 GiB", "1.5GiB", "many", "99999999GiB", "99999999999999999999"] {
            expectFault("artifact-cache-size", ["artifact-cache-size": wrong])
        }
    }

    @Test("a fault says where the value comes from")
    func source() {
        let problem = #expect(throws: Problem.self) {
            try ServerSettings(try SettingsTable.resolve(flags: [:], environment: ["CASEMATE_POOL_SIZE": "many"], file: [:]))
        }
        #expect(problem?.detail.contains("environment") == true)
    }
}
