import CasemateLinux
import CasemateServer
import CLinux
import Glibc
import NIOSSL

/// Certificate and key, read as root and handed on in a memory file: the server's user need not be able to read them.
struct TLSFiles {
    let descriptor: Int32
    /// The CA's certificate, when it is one of our own.
    let ca: String?

    /// Nil without TLS.
    init?(settings: ServerSettings) throws {
        let pem: [UInt8]
        switch settings.tls {
        case .off: return nil
        case .files(let certificate, let key):
            pem = try Files.read(certificate) + [UInt8(ascii: "\n")] + Files.read(key)
            ca = nil
        case .auto:
            let authority = try LocalAuthority(folder: settings.data)
            pem = try authority.issue(hosts: [
                settings.listen.host, settings.gateway.host, settings.domain, "*.\(settings.domain)", "localhost", "127.0.0.1", "::1",
            ])
            ca = authority.certificatePath
        }
        descriptor = try Self.handOn(pem)
    }

    /// The authorities that are trusted for the hosts of injected secrets; nil for the system's alone.
    static func authorities(_ settings: ServerSettings) throws -> Int32? {
        guard let path = settings.egressAuthorities else { return nil }
        let pem = try Files.read(path)
        guard let found = try? NIOSSLCertificate.fromPEMBytes(pem), !found.isEmpty else {
            throw CommandFailure("\(path), the setting egress-authorities, is no PEM file of certificates", code: 2)
        }
        return try handOn(pem)
    }

    private static func handOn(_ pem: [UInt8]) throws -> Int32 {
        let descriptor = try check(cl_memfd("certificates"), "making a memory file")
        try Files.writeAll(descriptor, pem, naming: "a memory file")
        return descriptor
    }
}
