import CasemateInvoke
import CasemateModel
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// The management API as functions reach it: over a connection out of their sandbox, which says whose it is.
struct InsideAPI: Sendable {
    let responder: RouterResponder<APIContext>
    let logger: Logger
    private let limit = InsideLimit()

    init(responder: RouterResponder<APIContext>, logger: Logger) {
        self.responder = responder
        self.logger = logger
    }

    /// Serves one connection. Called on its loop, before anything was read from it.
    func take(_ channel: any Channel, _ link: PlatformLink) {
        let http = HTTP1Channel(
            responder: { [self] request, writer, channel in
                let response: Response
                do throws(Problem) {
                    try limit.begin(link.function)
                } catch {
                    let refusal = try ProblemMiddleware.response(error, CallId())
                    return try await writer.write(response: refusal.head, body: refusal.body)
                }
                defer { limit.ended(link.function) }
                var context = APIContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
                context.link = link
                do {
                    response = try await responder.respond(to: request, context: context)
                } catch {
                    response = Response(status: .internalServerError)
                }
                try await writer.write(response: response.head, body: response.body)
            }, configuration: .init(additionalChannelHandlers: [SlowSenderLimit()]))
        http.setup(channel: channel, logger: logger).whenComplete { [logger] result in
            switch result {
            case .success(let value): Task { await http.handle(value: value, logger: logger) }
            case .failure: channel.close(promise: nil)
            }
        }
    }
}
