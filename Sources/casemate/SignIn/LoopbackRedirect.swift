import CasemateModel
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// Waits on loopback for the browser to come back from a provider (RFC 8252 §7.3).
struct LoopbackRedirect: Sendable {
    let state: String
    /// The provider's URL.
    let issuer: String
    /// The provider says that its answers name it (RFC 9207 §3).
    let namesItself: Bool
    /// In seconds.
    var patience = 300

    /// - Parameters:
    ///   - first: where the browser goes first, by the redirect URI.
    ///   - opened: hears that, and an address on loopback that leads there once: others on this machine see what a browser is started with.
    /// - Returns: the code, and the redirect URI.
    /// - Throws: `CommandFailure` for what the provider or the person refused, for an answer to another request, and out of patience.
    func code(
        first: @escaping @Sendable (String) throws -> String, opened: @escaping @Sendable (_ url: String, _ door: String) -> Void
    ) async throws -> (code: String, uri: String) {
        let (answers, incoming) = AsyncStream.makeStream(of: [String: String].self)
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let key = Base64URL.encode((0..<16).map { _ in UInt8.random(in: .min ... .max) })
        let door = Door()
        let application = application(key: key, door: door, incoming: incoming, listening: listening)
        var configuration = ServiceGroupConfiguration(services: [application], logger: Self.quiet)
        configuration.maximumGracefulShutdownDuration = .seconds(2)
        let services = ServiceGroup(configuration: configuration)
        return try await withThrowingTaskGroup(of: (String, String)?.self) { group in
            group.addTask {
                try await services.run()
                return nil
            }
            group.addTask {
                guard let port = await ports.first(where: { _ in true }) else { return nil }
                let uri = "http://127.0.0.1:\(port)/callback"
                let url = try first(uri)
                door.lead(to: url)
                opened(url, "http://127.0.0.1:\(port)/\(key)")
                guard let fields = await answers.first(where: { _ in true }) else { return nil }
                return (try code(in: fields), uri)
            }
            group.addTask { [patience] in
                try await Task.sleep(for: .seconds(patience))
                throw CommandFailure("nobody came back from the browser; try again, or with --device", code: 2)
            }
            defer { group.cancelAll() }
            let result: Result<(String, String)?, any Error>
            do { result = .success(try await group.next() ?? nil) } catch { result = .failure(error) }
            // What was written is on its way to the browser.
            try? await Task.sleep(for: .milliseconds(200))
            await services.triggerGracefulShutdown()
            guard let answer = try result.get() else { throw CommandFailure("the sign-in was ended", code: 2) }
            return answer
        }
    }

    private func application(
        key: String, door: Door, incoming: AsyncStream<[String: String]>.Continuation, listening: AsyncStream<Int>.Continuation
    ) -> some ApplicationProtocol {
        let router = Router()
        router.get("/callback") { request, _ in
            var fields: [String: String] = [:]
            for (name, value) in request.uri.queryParameters where fields.updateValue(String(value), forKey: String(name)) != nil {
                return Self.page("This answer can't be used. Go back to the command line.", .badRequest)
            }
            // Any page can make a browser ask for this address: what has not our state is nobody's answer.
            guard fields["state"].map({ Self.isSame($0, state) }) ?? false else {
                return Self.page("This answer belongs to another sign-in. Go back to the command line.", .badRequest)
            }
            return Self.page("Done. You can close this window, and go back to the command line.", .ok) { [fields] in incoming.yield(fields)
            }
        }
        router.get(RouterPath("/" + key)) { _, _ in
            guard let url = door.open() else { return Self.page("This address was used. Go back to the command line.", .notFound) }
            return Response(status: .found, headers: [.location: url, .cacheControl: "no-store"])
        }
        return Application(
            router: router, configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0), serverName: nil),
            onServerRunning: { channel in listening.yield(channel.localAddress?.port ?? 0) }, logger: Self.quiet)
    }

    /// Leads somewhere, once.
    private final class Door: Sendable {
        private let url = Mutex<String?>(nil)

        func lead(to url: String) { self.url.withLock { $0 = url } }

        func open() -> String? {
            url.withLock { url in
                defer { url = nil }
                return url
            }
        }
    }

    private static var quiet: Logger {
        var logger = Logger(label: "casemate")
        logger.logLevel = .critical
        return logger
    }

    private func code(in fields: [String: String]) throws -> String {
        // RFC 9207: an answer of another provider is not sent to this one.
        guard fields["iss"].map({ $0 == issuer }) ?? !namesItself else { throw CommandFailure("another provider answered", code: 2) }
        if let error = fields["error"] {
            let why = (fields["error_description"] ?? error).replacingOccurrences(of: "+", with: " ")
            throw CommandFailure("the sign-in was refused: \(Terminal.visible(why))", code: 2)
        }
        guard let code = fields["code"], !code.isEmpty else { throw CommandFailure("the provider gave no code", code: 2) }
        return code
    }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        return left.count == right.count && zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// - Parameter sent: called when it is on its way.
    private static func page(_ text: String, _ status: HTTPResponse.Status, sent: @escaping @Sendable () -> Void = {}) -> Response {
        let body = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Casemate</title><p>\(text)</p></html>"
        return Response(
            status: status,
            headers: [
                .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .connection: "close",
                .contentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'", HTTPField.Name("Referrer-Policy")!: "no-referrer",
                HTTPField.Name("X-Content-Type-Options")!: "nosniff",
            ],
            body: ResponseBody(contentLength: body.utf8.count) { writer in
                try await writer.write(ByteBuffer(string: body))
                try await writer.finish(nil)
                sent()
            })
    }
}
