import Foundation
import Testing

@testable import CasemateAWS

@Suite("Services that fail", .serialized)
struct FailureTests {
    private static let secret = "testing/Secret+of=tests"
    private static let good = http("200 OK", #"{"SecretString":"value"}"#)

    private func secrets(
        _ endpoint: Endpoint, timeout: Duration = .seconds(10), transport: CurlTransport = CurlTransport()
    ) throws -> SecretsManager {
        try SecretsManager(region: .test, endpoint: endpoint, credentials: .test(), transport: transport, timeout: timeout)
    }

    private func measured(_ body: () async throws -> some Any) async -> (error: AWSError?, time: Duration) {
        let start = ContinuousClock.now
        let error = await awsError(body)
        return (error, start.duration(to: .now))
    }

    @Test("a server that is down is found out quickly, left alone for a while, and asked again when it is back")
    func down() async throws {
        let stub = try StubServer { _ in [.send(Self.good)] }
        let port = stub.port
        let secrets = try secrets(stub.endpoint)
        #expect(try await secrets.value(id: "x") == Array("value".utf8))
        stub.stop()
        try await Task.sleep(for: .milliseconds(100))

        let first = await measured { try await secrets.value(id: "x") }
        #expect(first.error?.isUnavailable == true)
        #expect(first.time < .seconds(1))
        let second = await measured { try await secrets.value(id: "x") }
        #expect(second.error?.description.contains("not asked") == true)
        #expect(second.time < .milliseconds(20))

        let back = try StubServer(port: port) { _ in [.send(Self.good)] }
        defer { back.stop() }
        #expect(await awsError { try await secrets.value(id: "x") }?.isUnavailable == true)
        #expect(back.requests == 0)
        try await Task.sleep(for: .milliseconds(1100))
        #expect(try await secrets.value(id: "x") == Array("value".utf8))
        #expect(try await secrets.value(id: "x") == Array("value".utf8))
    }

    @Test(
        "a server that takes 30 s is given up in time, and asked four things at once at most",
        arguments: [
            "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 100 Continue\r\n\r\n",
        ])
    func slow(_ beginning: String) async throws {
        let stub = try StubServer { _ in [.send(Array(beginning.utf8)), .wait(.seconds(30)), .send(Self.good)] }
        defer { stub.stop() }
        // A client each, or the circuit would end most of them.
        let transport = CurlTransport()
        let clients = try (1...20).map { _ in try secrets(stub.endpoint, timeout: .seconds(1), transport: transport) }
        let start = ContinuousClock.now
        let errors = await withTaskGroup(of: AWSError?.self) { group in
            for client in clients { group.addTask { await awsError { try await client.value(id: "x") } } }
            var errors: [AWSError?] = []
            for await error in group { errors.append(error) }
            return errors
        }
        #expect(start.duration(to: .now) < .milliseconds(1500))
        #expect(errors.count == 20)
        let texts = errors.map { $0?.description ?? "" }
        let waited = texts.count { $0.contains("every thread was busy") }
        let asked = texts.count { $0.contains("no answer in time") || $0.contains("no connection in time") }
        // A slow machine starts some of the twenty later, and their deadlines leave room for a second round.
        #expect(asked >= CurlTransport.width && waited > 0 && asked + waited == 20, "\(texts)")
    }

    #if compiler(>=6.2)
        @Test("four threads at most are held, and they end with the transport")
        func threads() async {
            // In a process of its own, where there are no other test's.
            await #expect(processExitsWith: .success) {
                func count() throws -> Int {
                    let folder = "/proc/self/task"
                    let names = try FileManager.default.contentsOfDirectory(atPath: folder).map {
                        try? String(contentsOfFile: "\(folder)/\($0)/comm", encoding: .utf8)
                    }
                    return names.count { $0 == "casemate-aws\n" }
                }
                let stub = try StubServer { _ in [.wait(.seconds(30))] }
                do {
                    let transport = CurlTransport()
                    await withTaskGroup(of: Void.self) { group in
                        for _ in 1...20 {
                            group.addTask {
                                let secrets = try? SecretsManager(
                                    region: .test, endpoint: stub.endpoint, credentials: .test(), transport: transport, timeout: .seconds(1)
                                )
                                _ = try? await secrets?.value(id: "x")
                            }
                        }
                        try? await Task.sleep(for: .milliseconds(500))
                        #expect((try? count()) == CurlTransport.width)
                    }
                    #expect(try count() == CurlTransport.width)
                }
                for _ in 1...100 where try count() > 0 { try await Task.sleep(for: .milliseconds(20)) }
                #expect(try count() == 0)
                stub.stop()
            }
        }
    #endif

    @Test("a caller who goes away is let go at once, and the thread soon after")
    func cancelled() async throws {
        let stub = try StubServer { $0.number <= CurlTransport.width ? [.wait(.seconds(30))] : [.send(Self.good)] }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        let tasks = (1...CurlTransport.width).map { _ in Task { try await secrets.value(id: "x") } }
        try await Task.sleep(for: .milliseconds(300))
        let start = ContinuousClock.now
        for task in tasks { task.cancel() }
        for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
        #expect(start.duration(to: .now) < .milliseconds(300))
        #expect(try await secrets.value(id: "x") == Array("value".utf8))
        #expect(start.duration(to: .now) < .seconds(3))
    }

    /// Shown by its name: Swift Testing would write out 10 MB.
    struct Garbage: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let answer: [UInt8]
        /// How the error begins.
        let kind: String

        init(_ name: String, _ answer: [UInt8], _ kind: String) {
            testDescription = name
            self.answer = answer
            self.kind = kind
        }
    }

    @Test(
        "garbage is an error that quotes nothing of it",
        arguments: [
            .init("not JSON", http("200 OK", "hunter2"), "malformed"),
            .init("cut JSON", http("200 OK", #"{"SecretString":"hunter2"#), "malformed"),
            .init("other JSON", http("200 OK", #"["hunter2"]"#), "malformed"),
            .init("neither field", http("200 OK", #"{"Name":"hunter2"}"#), "malformed"),
            .init("wrong type", http("200 OK", #"{"SecretString":{"a":"hunter2"}}"#), "malformed"),
            .init("not base64", http("200 OK", #"{"SecretBinary":"hunter2!"}"#), "malformed"),
            .init("deep", http("200 OK", String(repeating: "[", count: 500_000)), "malformed"),
            .init("deep object", http("200 OK", String(repeating: #"{"SecretString":"#, count: 50_000)), "malformed"),
            .init(
                "not UTF-8", Array("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"SecretString\":\"".utf8) + [0xFF, 0xFE, 0x22],
                "malformed"),
            .init("empty", http("200 OK", ""), "malformed"),
            .init("10 MB", http("200 OK", String(repeating: "hunter2 ", count: 1_250_000)), "malformed"),
            .init("10 MB error", http("400 No", String(repeating: "hunter2 ", count: 1_250_000)), "malformed"),
            .init("10 MB without a length", Array("HTTP/1.1 200 OK\r\n\r\n".utf8) + [UInt8](repeating: 65, count: 10_000_000), "malformed"),
            .init(
                "length too long", Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"SecretString\":\"hunter2\"}".utf8), "unavailable"
            ),
            .init(
                "length too short", Array("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"SecretString\":\"hunter2\"}".utf8), "malformed"),
            .init("length no number", Array("HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n{}".utf8), "malformed"),
            .init("chunks broken", Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n".utf8), "unavailable"),
            .init("HTTP/0.9", Array("hunter2 hunter2 hunter2\r\n".utf8), "malformed"),
            .init("nothing", [], "unavailable"),
            .init(
                "endless head",
                Array("HTTP/1.1 200 OK\r\n".utf8) + Array(repeating: Array("X: hunter2\r\n".utf8), count: 100_000).flatMap(\.self),
                "unavailable"),
            .init(
                "HTML 502", http("502 Bad Gateway", "<html><body>hunter2</body></html>", headers: "Content-Type: text/html\r\n"),
                "unavailable"),
            .init("HTML 403", http("403 No", "<html><body>hunter2</body></html>"), "refused"),
            .init("code with data", http("400 No", #"{"__type":"hunter2 is secret"}"#), "refused"),
            .init("304", http("304 Not Modified", ""), "refused"),
            .init("204", Array("HTTP/1.1 204 No Content\r\n\r\n".utf8), "malformed"),
            .init(
                "continue for ever", Array(repeating: Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), count: 1000).flatMap(\.self),
                "unavailable"),
            .init("compressed", http("200 OK", "hunter2", headers: "Content-Encoding: gzip\r\n"), "malformed"),
        ] as [Garbage])
    func garbage(_ garbage: Garbage) async throws {
        let (name, answer, kind) = (garbage.testDescription, garbage.answer, garbage.kind)
        let stub = try StubServer { _ in [.send(answer), .close] }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        let (error, time) = await measured { try await secrets.value(id: "x") }
        let text = error?.description ?? "none"
        #expect(text.hasPrefix(kind), "\(name): \(text)")
        #expect(!text.contains("hunter2") && text.utf8.count < 200, "\(name): \(text)")
        #expect(time < .seconds(5), "\(name): \(time)")
    }

    @Test("a redirect is not followed, and no password is sent to a server that asks for one", arguments: [301, 302, 307, 308, 401, 407])
    func redirects(_ status: Int) async throws {
        let other = try StubServer { _ in [.send(Self.good)] }
        defer { other.stop() }
        let heads = Heads()
        let stub = try StubServer { request in
            heads.add(request.head)
            return [
                .send(
                    http(
                        "\(status) Elsewhere", "",
                        headers:
                            "Location: \(other.endpoint)/\r\nWWW-Authenticate: Basic realm=\"x\"\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
                    ))
            ]
        }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        #expect(await awsError { try await secrets.value(id: "x") } == .refused(code: "HTTP\(status)", status: status))
        #expect(other.requests == 0)
        #expect(stub.requests == 1)
        for head in heads.all {
            #expect(head.contains("Authorization: AWS4-HMAC-SHA256 Credential=AKIDTEST/"))
            #expect(!head.contains(Self.secret) && !head.contains("Basic"))
        }
    }

    @Test(
        "what may pass is asked three times, what will not once",
        arguments: [
            ("429 Slow", "", 3), ("500 No", "", 3), ("502 No", "", 3), ("503 No", "", 3), ("504 No", "", 3),
            ("400 No", #"{"__type":"ThrottlingException"}"#, 3), ("400 No", #"{"__type":"ValidationException"}"#, 1), ("403 No", "", 1),
            ("404 No", "", 1), ("501 No", "", 1), ("505 No", "", 1),
        ])
    func retries(_ status: String, _ body: String, _ count: Int) async throws {
        let stub = try StubServer { _ in [.send(http(status, body))] }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        let error = await awsError { try await secrets.value(id: "x") }
        #expect(error != nil)
        #expect(stub.requests == count, "\(String(describing: error))")
    }

    @Test("the second or third attempt may work; a conditional write is repeated only when nothing can have been done")
    func recovery() async throws {
        for failures in 1...2 {
            let stub = try StubServer { request in
                request.number > failures ? [.send(Self.good)] : [request.number == 1 ? .send(http("503 No", "")) : .close]
            }
            defer { stub.stop() }
            #expect(try await secrets(stub.endpoint).value(id: "x") == Array("value".utf8))
            #expect(stub.requests == failures + 1)
        }
        for (first, count) in [([StubServer.Step.close], 1), ([.send(http("500 No", ""))], 1), ([.send(http("503 No", ""))], 2)] {
            let stub = try StubServer { $0.number == 1 ? first : [.send(http("200 OK", ""))] }
            defer { stub.stop() }
            let s3 = try S3(region: .test, endpoint: stub.endpoint, credentials: .test())
            let error = await awsError { try await s3.put(bucket: S3Bucket("abc")!, key: S3Key("k")!, body: [1], ifNoneMatch: "*") }
            #expect(stub.requests == count)
            #expect((error == nil) == (count == 2))
        }
    }

    @Test("a kept connection that the server has closed meanwhile is replaced, and the request signed anew")
    func keptConnections() async throws {
        let stub = try StubServer { request in [.send(Self.good)] + (request.number.isMultiple(of: 2) ? [.close] : []) }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        for _ in 1...10 { #expect(try await secrets.value(id: "x") == Array("value".utf8)) }
        #expect(stub.requests == 10)
        #expect(stub.accepted < 10)
    }

    @Test("too many at once are refused")
    func crowded() async throws {
        let stub = try StubServer { _ in [.wait(.milliseconds(300)), .send(Self.good)] }
        defer { stub.stop() }
        var settings = CurlTransport.Settings()
        settings.mostWaiting = 2
        let transport = CurlTransport(settings)
        let secrets = try secrets(stub.endpoint, transport: transport)
        let errors = await withTaskGroup(of: AWSError?.self) { group in
            for _ in 1...12 { group.addTask { await awsError { try await secrets.value(id: "x") } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(errors.count { $0 == nil } >= 4)
        #expect(errors.contains { $0?.description.contains("too many") == true })
    }

    @Test("a name that does not resolve and a port that is closed are unavailable")
    func unreachable() async throws {
        for url in ["https://casemate.invalid", "http://127.0.0.1:1", "https://127.0.0.1:1"] {
            let secrets = try secrets(try Endpoint(url), timeout: .seconds(3))
            let (error, time) = await measured { try await secrets.value(id: "x") }
            #expect(error?.isUnavailable == true, "\(url)")
            #expect(time < .milliseconds(3500), "\(url) \(time)")
        }
    }

    @Test("what our own side of a request costs")
    func figures() async throws {
        let stub = try StubServer { _ in [.send(Self.good)] }
        defer { stub.stop() }
        let secrets = try secrets(stub.endpoint)
        _ = try await secrets.value(id: "x")
        let time = try await ContinuousClock().measure { for _ in 1...500 { _ = try await secrets.value(id: "x") } }
        print("GetSecretValue against a stub: \(time / 500) each")
        let together = await ContinuousClock().measure {
            await withTaskGroup(of: Void.self) { group in
                for _ in 1...8 { group.addTask { for _ in 1...100 { _ = try? await secrets.value(id: "x") } } }
            }
        }
        print("GetSecretValue against a stub, eight at once: \(together / 800) each")
    }
}

/// What a stub has seen.
private final class Heads: @unchecked Sendable {
    private let lock = NSLock()
    private var seen: [String] = []

    func add(_ head: String) { lock.withLock { seen.append(head) } }

    var all: [String] { lock.withLock { seen } }
}
