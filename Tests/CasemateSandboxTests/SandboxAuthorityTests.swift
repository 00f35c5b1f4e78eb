import Foundation
import NIOSSL
import SwiftASN1
import Testing
import X509

@testable import CasemateSandbox

@Suite("A sandbox's own authority")
struct SandboxAuthorityTests {
    private func verifies(_ name: String, of issuer: SandboxAuthority, by trusted: SandboxAuthority) async throws -> Bool {
        let root = try Certificate(pemEncoded: trusted.certificate)
        var verifier = Verifier(rootCertificates: CertificateStore([root])) {
            RFC5280Policy()
            ServerIdentityPolicy(serverHostname: name, serverIP: nil)
        }
        let leaf = try Certificate(pemEncoded: issuer.certificate(for: name).leaf)
        if case .validCertificate = await verifier.validate(leaf: leaf, intermediates: CertificateStore()) { return true }
        return false
    }

    @Test("vouches for its hosts")
    func itsHosts() async throws {
        let authority = try SandboxAuthority(for: ["api.example.com", "other.example.org"])
        #expect(try await verifies("api.example.com", of: authority, by: authority))
        #expect(try await verifies("other.example.org", of: authority, by: authority))
        _ = try authority.context(for: "api.example.com")
    }

    @Test("vouches for no other name, whoever uses its key")
    func others() async throws {
        let authority = try SandboxAuthority(for: ["api.example.com"])
        for name in ["example.com", "www.example.com", "api.example.org", "xapi.example.com"] {
            #expect(try await !verifies(name, of: authority, by: authority), "\(name)")
        }
    }

    @Test("is not believed by another sandbox")
    func apart() async throws {
        let (one, two) = (try SandboxAuthority(for: ["api.example.com"]), try SandboxAuthority(for: ["api.example.com"]))
        #expect(one.certificate != two.certificate)
        #expect(try await !verifies("api.example.com", of: one, by: two))
    }

    @Test("tells its certificate and no key")
    func noKey() throws {
        let text = try SandboxAuthority(for: ["a.example"]).certificate
        #expect(text.hasPrefix("-----BEGIN CERTIFICATE-----") && !text.contains("KEY"))
    }
}
