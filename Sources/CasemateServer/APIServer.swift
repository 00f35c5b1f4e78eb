import CasemateInvoke
import Glibc
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOExtras
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServiceLifecycle

/// Serves the API on a port, or on a socket that listens already; Hummingbird's own server can do the former alone.
struct APIServer: Service {
    let settings: ServerSettings
    let socket: Int32?
    let tls: TLSConfiguration?
    let responder: LateResponder
    let logger: Logger
    /// Hears of the signal to stop, at once.
    let willStop: @Sendable () -> Void
    /// Hears the port once it listens.
    let opened: @Sendable (Int) async -> Void

    /// Until it is told to stop; requests under way are answered first.
    func run() async throws {
        let http = HTTP1Channel(responder: respond, configuration: .init(additionalChannelHandlers: [SlowSenderLimit()]))
        if let tls { try await serve(try TLSChannel(http, tlsConfiguration: tls)) } else { try await serve(http) }
    }

    private func serve<Connections: ServerChildChannel>(_ connections: Connections) async throws {
        let (arrivals, arrived) = AsyncStream.makeStream(of: Connections.Value.self)
        let group = MultiThreadedEventLoopGroup.singleton
        let quiescing = ServerQuiescingHelper(group: group)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [logger] channel in
                connections.setup(channel: channel, logger: logger).map { connection in
                    if case .terminated = arrived.yield(connection) { channel.close(promise: nil) }
                }
            }
        let listening =
            socket.map { bootstrap.withBoundSocket($0) } ?? bootstrap.bind(host: settings.listen.host, port: settings.listen.port)
        let channel = try await listening.get()
        let stopped = channel.eventLoop.makePromise(of: Void.self)
        stopped.futureResult.whenComplete { _ in arrived.finish() }
        await opened(channel.localAddress?.port ?? settings.listen.port)
        // What is still under way when that is cancelled is cancelled with it.
        await withDiscardingTaskGroup { group in
            await withGracefulShutdownHandler {
                for await connection in arrivals {
                    group.addTask { [logger] in await connections.handle(value: connection, logger: logger) }
                }
            } onGracefulShutdown: {
                willStop()
                // Who was let in already is still heard; who comes now waits for the next server, if the socket outlives this one.
                channel.setOption(.autoRead, value: false).whenComplete { _ in
                    channel.eventLoop.scheduleTask(in: Gateway.lastWords) { quiescing.initiateShutdown(promise: stopped) }
                }
            }
        }
        channel.close(promise: nil)
    }

    private func respond(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let context = APIContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
        var response: Response
        do { response = try await responder.respond(to: request, context: context) } catch let error as HTTPParserError {
            throw error
        } catch {
            response = Response(status: .internalServerError)
        }
        response.headers[.date] = Self.date()
        do { try await writer.write(response: response.head, body: response.body) } catch is HTTPParserError {
            // Nothing more can be said on this connection.
            throw CancellationError()
        }
    }

    /// Now, as HTTP writes it (RFC 9110 §5.6.7).
    private static func date() -> String {
        var (now, parts) = (time(nil), tm())
        gmtime_r(&now, &parts)
        return String(unsafeUninitializedCapacity: 64) { out in
            out.withMemoryRebound(to: CChar.self) { strftime($0.baseAddress!, $0.count, "%a, %d %b %Y %H:%M:%S GMT", &parts) }
        }
    }
}
