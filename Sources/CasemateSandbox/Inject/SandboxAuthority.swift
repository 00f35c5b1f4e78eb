import CasemateModel
import Crypto
import Foundation
import NIOCore
import NIOSSL
import SwiftASN1
import Synchronization
import X509

/// A certificate authority that one sandbox trusts, for the hosts into whose requests secrets are put.
///
/// Its key never leaves the server and is gone with the sandbox. Its certificate is constrained to those names (RFC 5280 §4.2.1.10), so
/// that a client that took it elsewhere would believe it about nothing else.
final class SandboxAuthority: Sendable {
    /// For the sandbox.
    let certificate: String
    private let issuer: DistinguishedName
    private let key: P256.Signing.PrivateKey
    private let contexts: Mutex<[String: NIOSSLContext]> = Mutex([:])

    init(for names: Set<String>) throws {
        let key = P256.Signing.PrivateKey()
        let issuer = try DistinguishedName { CommonName("Casemate sandbox authority") }
        let (begin, end) = Self.period
        certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey), notValidBefore: begin,
            notValidAfter: end, issuer: issuer, subject: issuer, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                Critical(NameConstraints(permittedDNSDomains: names.sorted()))
                SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            }, issuerPrivateKey: .init(key)
        ).serializeAsPEM().pemString
        self.key = key
        self.issuer = issuer
    }

    /// What answers a client inside that asks for `name`.
    func context(for name: String) throws -> NIOSSLContext {
        if let made = contexts.withLock({ $0[name] }) { return made }
        let (certificate, key) = try certificate(for: name)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: Array(certificate.utf8), format: .pem))],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        configuration.shutdownTimeout = .seconds(1)
        let context = try NIOSSLContext(configuration: configuration)
        contexts.withLock { $0[name] = context }
        return context
    }

    /// A certificate of `name` and its key, both in PEM.
    func certificate(for name: String) throws -> (leaf: String, key: String) {
        let leaf = P256.Signing.PrivateKey()
        let (begin, end) = Self.period
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(leaf.publicKey), notValidBefore: begin,
            notValidAfter: end, issuer: issuer, subject: try DistinguishedName { CommonName("Casemate") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames([.dnsName(name)])
                AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey)).keyIdentifier)
            }, issuerPrivateKey: .init(key))
        return (try certificate.serializeAsPEM().pemString, leaf.pemRepresentation)
    }

    /// From a little before now, for clocks that differ, to after any sandbox.
    private static var period: (Date, Date) { (Date() - 3600, Date() + 365 * 86_400) }
}
