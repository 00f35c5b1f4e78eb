import NIOConcurrencyHelpers
import NIOCore
import NIOSSL

/// Whom the server believes about the hosts of injected secrets: the system's authorities, and those of the operator's.
///
/// The system's are read when they are first needed, since most servers never do.
final class UpstreamAuthorities: Sendable {
    private let besides: [NIOSSLCertificate]
    private let made: NIOLockedValueBox<NIOSSLContext?> = NIOLockedValueBox(nil)

    init(besides pem: [UInt8]) throws { besides = pem.isEmpty ? [] : try NIOSSLCertificate.fromPEMBytes(pem) }

    func get() throws -> NIOSSLContext {
        try made.withLockedValue { made in
            if let made { return made }
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.additionalTrustRoots = besides.isEmpty ? [] : [.certificates(besides)]
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["http/1.1"]
            configuration.shutdownTimeout = .seconds(1)
            let context = try NIOSSLContext(configuration: configuration)
            made = context
            return context
        }
    }
}
