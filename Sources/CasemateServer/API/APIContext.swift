import CasemateIdentity
import CasemateInvoke
import CasemateModel
import HTTPTypes
import Hummingbird
import NIOCore

/// What a request's connection tells of it.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let peer: String
    /// Where the request comes out of a function's sandbox.
    var link: PlatformLink?

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = source.channel.remoteAddress?.ipAddress ?? ""
    }

    /// Where the request comes from, as far as those tell who are trusted. Nil where that can't be told, and for
    /// sandboxes: all of them have the same address, the machine's own.
    func source(of request: Request, trusting proxies: [AddressRange]) -> CallerSource? {
        guard link == nil else { return nil }
        let forwarded = request.headers[values: .forwardedFor].flatMap { $0.split(separator: ",") }
        return CallerSource(peer: peer, forwarded: forwarded, trusted: proxies) ?? CallerSource(peer)
    }

}
