import CasemateLinux
import Crypto
import Foundation
import Glibc
import SwiftASN1
import X509

/// A certificate authority of this installation's own, for `--tls auto`: `DIR/ca.pem`, and its key that only root can read.
struct LocalAuthority {
    let certificatePath: String
    private let certificate: Certificate
    private let key: P256.Signing.PrivateKey

    init(folder: String) throws {
        certificatePath = folder + "/ca.pem"
        let keyPath = folder + "/ca.key"
        if Files.exists(keyPath) {
            key = try P256.Signing.PrivateKey(pemRepresentation: try Files.text(keyPath))
            certificate = try Certificate(pemEncoded: try Files.text(certificatePath))
            return
        }
        key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("Casemate local authority") }
        certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey), notValidBefore: Date() - 300,
            notValidAfter: Date() + 10 * 365 * 86_400, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
            }, issuerPrivateKey: .init(key))
        try Files.write(key.pemRepresentation + "\n", to: keyPath, mode: 0o600)
        try Files.write(try certificate.serializeAsPEM().pemString + "\n", to: certificatePath, mode: 0o644)
        chmod(certificatePath, 0o644)
    }

    /// A new certificate and key for these hosts, in PEM, the CA's certificate after it. Valid for 397 days, made at each start.
    func issue(hosts: [String]) throws -> [UInt8] {
        let leaf = P256.Signing.PrivateKey()
        let names = Array(Set(hosts)).sorted().filter { $0 != "0.0.0.0" && $0 != "::" }.map { host -> GeneralName in
            var v4 = in_addr()
            if inet_pton(AF_INET, host, &v4) == 1 {
                return .ipAddress(ASN1OctetString(contentBytes: withUnsafeBytes(of: v4) { ArraySlice($0) }))
            }
            var v6 = in6_addr()
            if inet_pton(AF_INET6, host, &v6) == 1 {
                return .ipAddress(ASN1OctetString(contentBytes: withUnsafeBytes(of: v6) { ArraySlice($0) }))
            }
            return .dnsName(host)
        }
        let made = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(leaf.publicKey), notValidBefore: Date() - 300,
            notValidAfter: Date() + 397 * 86_400, issuer: certificate.subject, subject: try DistinguishedName { CommonName("Casemate") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(names)
            }, issuerPrivateKey: .init(key))
        return Array((try made.serializeAsPEM().pemString + "\n" + leaf.pemRepresentation + "\n").utf8)
    }
}
