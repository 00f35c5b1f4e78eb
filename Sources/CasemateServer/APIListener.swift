import CasemateInvoke
import CasemateModel
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import Synchronization
import UnixSignals

/// The management API's listener.
struct APIListener {
    let settings: ServerSettings
    /// One that listens there already.
    let socket: Int32?
    let tls: TLSConfiguration?
    let logger: Logger
    /// Hears of the signal to stop, at once.
    let willStop: @Sendable () -> Void
    let makeServices: @Sendable (_ apiURL: String) -> APIServices

    /// Runs until a signal; `opened` hears the URL once it listens.
    func run(opened: @Sendable @escaping (String) async throws -> Void) async throws {
        let scheme = tls == nil ? "http" : "https"
        // The URLs in answers need the port, which is known only once it listens; requests before that wait for the responder.
        let responder = LateResponder()
        let server = APIServer(settings: settings, socket: socket, tls: tls, responder: responder, logger: quiet, willStop: willStop) {
            port in
            let url = settings.apiURL ?? "\(scheme)://\(ServerSettings.Endpoint(host: settings.listen.host, port: port))"
            let services = makeServices(url)
            let makeRouter = { (routes: [APIRoute], isTLS: Bool) in
                APIRouter(
                    routes: routes, authentication: services.authentication, sessions: services.sessions, records: services.records,
                    audit: services.audit, trustedProxies: settings.trustedProxies.compactMap { AddressRange($0) }, isTLS: isTLS,
                    logger: logger
                ).router().buildResponder()
            }
            responder.set(makeRouter(services.routes, tls != nil))
            let inside = InsideAPI(responder: makeRouter(services.insideRoutes, false), logger: quiet)
            await services.gateway.servePlatform { inside.take($0, $1) }
            do { try await opened(url) } catch { logger.error("could not announce the server", metadata: ["error": "\(error)"]) }
        }
        var configuration = ServiceGroupConfiguration(services: [server], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
        // A deployment under way may take minutes; it can be repeated, a stop can't wait.
        configuration.maximumGracefulShutdownDuration = .seconds(5)
        try await ServiceGroup(configuration: configuration).run()
    }

    /// Hummingbird's own words are of use only when they are warnings.
    private var quiet: Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

/// Hands requests to a responder that comes later; until then they wait.
final class LateResponder: Sendable {
    private struct State {
        var inner: RouterResponder<APIContext>?
        var waiting: [CheckedContinuation<RouterResponder<APIContext>, Never>] = []
    }

    private let state = Mutex(State())

    func set(_ responder: RouterResponder<APIContext>) {
        let waiting = state.withLock { state in
            state.inner = responder
            defer { state.waiting = [] }
            return state.waiting
        }
        for request in waiting { request.resume(returning: responder) }
    }

    func respond(to request: Request, context: APIContext) async throws -> Response {
        let responder = await withCheckedContinuation { continuation in
            let known = state.withLock { state in
                if state.inner == nil { state.waiting.append(continuation) }
                return state.inner
            }
            if let known { continuation.resume(returning: known) }
        }
        return try await responder.respond(to: request, context: context)
    }
}
