import CasemateIdentity
import CasemateModel
import HTTPTypes
import Hummingbird
import NIOCore

/// What a request's connection tells of it.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let peer: String

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = source.channel.remoteAddress?.ipAddress ?? ""
    }

    /// Where the request comes from, as far as those tell who are trusted. Nil where that can't be told.
    func source(of request: Request, trusting proxies: [AddressRange]) -> CallerSource? {
        let forwarded = request.headers[values: Self.forwardedFor].flatMap { $0.split(separator: ",") }
        return CallerSource(peer: peer, forwarded: forwarded, trusted: proxies) ?? CallerSource(peer)
    }

    private static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
}
