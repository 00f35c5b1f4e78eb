import CasemateModel
import Crypto
import Foundation
import Synchronization
import Testing

@testable import CasemateIdentity

@Suite("Tokens of trusted issuers")
struct IssuerRegistryTests {
    /// An issuer with a key, and how often it was asked for that.
    private final class Provider: Sendable {
        let key = P256.Signing.PrivateKey()
        let asked = Mutex(0)
        let url = "https://idp.example"

        var keySet: [UInt8] {
            let point = key.publicKey.x963Representation
            let x = Base64URL.encode([UInt8](point[1..<33]))
            let y = Base64URL.encode([UInt8](point[33...]))
            return Array(#"{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"\#(x)","y":"\#(y)"}]}"#.utf8)
        }

        func token(header: String = #"{"alg":"ES256","kid":"one"}"#, _ claims: [String: String] = [:]) throws -> String {
            let now = Timestamp.now.milliseconds / 1000
            var fields = [
                "iss": #""\#(url)""#, "sub": #""alice""#, "aud": #""casemate""#, "exp": "\(now + 300)", "iat": "\(now)",
            ]
            fields.merge(claims) { $1 }
            let text = "{" + fields.filter { !$0.value.isEmpty }.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
            let signed = "\(Base64URL.encode(Array(header.utf8))).\(Base64URL.encode(Array(text.utf8)))"
            let signature = try key.signature(for: Data(signed.utf8))
            return "\(signed).\(Base64URL.encode([UInt8](signature.rawRepresentation)))"
        }
    }

    private let provider = Provider()

    private func registry(_ change: (inout Issuer) -> Void = { _ in }) -> (IssuerRegistry, Issuer) {
        let registry = IssuerRegistry(
            fetch: { [provider] _ in
                provider.asked.withLock { $0 += 1 }
                return provider.keySet
            }, failed: { _, _ in })
        var issuer = Issuer(
            id: IssuerId(), name: IssuerLabel("corp")!, url: provider.url, audiences: ["casemate"], created: Timestamp(milliseconds: 1),
            createdBy: "")
        change(&issuer)
        registry.load([issuer])
        return (registry, issuer)
    }

    private func name(_ verdict: IssuerRegistry.Verdict) -> String {
        switch verdict {
        case .valid(let token): "valid for \(token.username)"
        case .needsKeys(_, let hasSome): hasSome ? "needs another key" : "needs keys"
        case .unavailable: "unavailable"
        case .refused: "refused"
        }
    }

    @Test("keys are fetched once, and what is verified once is known")
    func fetched() async throws {
        let (registry, issuer) = registry()
        let token = try provider.token()
        #expect(name(registry.verify(token)) == "needs keys")
        await registry.fetchKeys(of: issuer.id)
        for _ in 0..<3 { #expect(name(registry.verify(token)) == "valid for alice") }
        #expect(provider.asked.withLock { $0 } == 1)
    }

    @Test("many who need keys at once make one fetch, and all wait for it")
    func together() async throws {
        let (registry, issuer) = registry()
        let token = try provider.token()
        await withTaskGroup(of: String.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    await registry.fetchKeys(of: issuer.id)
                    return name(registry.verify(token))
                }
            }
            for await verdict in group { #expect(verdict == "valid for alice") }
        }
        #expect(provider.asked.withLock { $0 } <= 4)
    }

    @Test("a token that was known ends with its time, and with its issuer")
    func ends() async throws {
        let (registry, issuer) = registry()
        await registry.fetchKeys(of: issuer.id)
        let token = try provider.token()
        #expect(name(registry.verify(token)) == "valid for alice")
        let now = Timestamp.now
        #expect(name(registry.verify(token, at: now.advanced(byMilliseconds: 359_000))) == "valid for alice")
        #expect(name(registry.verify(token, at: now.advanced(byMilliseconds: 361_000))) == "refused")
        registry.load([])
        #expect(name(registry.verify(token)) == "refused")
    }

    @Test("an issuer that changes is asked for its keys again")
    func changed() async throws {
        var (registry, issuer) = registry()
        await registry.fetchKeys(of: issuer.id)
        let token = try provider.token()
        #expect(name(registry.verify(token)) == "valid for alice")
        registry.load([issuer])
        #expect(name(registry.verify(token)) == "valid for alice", "nothing changed")
        issuer.audiences = ["other"]
        registry.load([issuer])
        #expect(name(registry.verify(token)) == "needs keys")
    }

    @Test(
        "what does not fit is refused",
        arguments: [
            (#"{"alg":"ES256","kid":"one"}"#, "iss", #""https://idp.example/""#), (#"{"alg":"ES384","kid":"one"}"#, "", ""),
            (#"{"alg":"ES256","kid":"one","typ":"logout+jwt"}"#, "", ""), (#"{"alg":"none"}"#, "", ""), (#"{"alg":"HS256"}"#, "", ""),
            (#"{"alg":"ES256","kid":"one"}"#, "exp", "1"), (#"{"alg":"ES256","kid":"one"}"#, "nbf", "4000000000"),
        ])
    func refused(header: String, claim: String, value: String) async throws {
        let (registry, issuer) = registry()
        await registry.fetchKeys(of: issuer.id)
        let token = try provider.token(header: header, claim.isEmpty ? [:] : [claim: value])
        #expect(name(registry.verify(token)) == "refused")
    }

    @Test("a key that is not known asks for another fetch, and is refused when that brings none")
    func unknownKey() async throws {
        let (registry, issuer) = registry()
        await registry.fetchKeys(of: issuer.id)
        let token = try provider.token(header: #"{"alg":"ES256","kid":"two"}"#)
        #expect(name(registry.verify(token)) == "needs another key")
        for _ in 0..<10 { await registry.fetchKeys(of: issuer.id) }
        #expect(name(registry.verify(token)) == "refused")
        #expect(provider.asked.withLock { $0 } == 4)
    }

    @Test("what was verified with keys that are withdrawn is refused with the next fetch")
    func withdrawn() async throws {
        let isEmpty = Mutex(false)
        let registry = IssuerRegistry(
            fetch: { [provider] _ in isEmpty.withLock { $0 } ? Array(#"{"keys": []}"#.utf8) : provider.keySet }, failed: { _, _ in })
        let issuer = Issuer(
            id: IssuerId(), name: IssuerLabel("corp")!, url: provider.url, audiences: ["casemate"], created: Timestamp(milliseconds: 1),
            createdBy: "")
        registry.load([issuer])
        await registry.fetchKeys(of: issuer.id)
        let token = try provider.token()
        #expect(name(registry.verify(token)) == "valid for alice")
        isEmpty.withLock { $0 = true }
        await registry.fetchKeys(of: issuer.id)
        #expect(name(registry.verify(token)) != "valid for alice")
    }

    @Test(
        "a name that could be taken for another, or does more than name, is none",
        arguments: [
            "jose\u{301}", "\u{212A}im", "a\u{0}b", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", "",
            String(repeating: "x", count: 256),
        ])
    func names(name: String) { #expect(!PersonName.isPlain(name)) }

    @Test("people are called what they are called", arguments: ["alice", "jos\u{e9}", "Größe@example.com", "群组", "a:b c/d", "O'Brien"])
    func plainNames(name: String) { #expect(PersonName.isPlain(name)) }

    @Test("an address that nobody confirmed names nobody")
    func email() async throws {
        let (registry, issuer) = registry { $0.usernameClaim = "email" }
        await registry.fetchKeys(of: issuer.id)
        let address = #""alice@example.com""#
        #expect(name(registry.verify(try provider.token(["email": address, "email_verified": "true"]))) == "valid for alice@example.com")
        for verified in ["false", #""true""#, "1", ""] {
            #expect(name(registry.verify(try provider.token(["email": address, "email_verified": verified]))) == "refused", "\(verified)")
        }
        #expect(name(registry.verify(try provider.token())) == "refused")
    }

    @Test("a token is for one of ours, or for nobody")
    func audiences() async throws {
        let (registry, issuer) = registry()
        await registry.fetchKeys(of: issuer.id)
        for (audience, fits) in [
            (#""casemate""#, true), (#"["casemate"]"#, true), (#"["casemate","other"]"#, false), (#""other""#, false),
            (#""Casemate""#, false),
        ] {
            guard case .valid(let token) = registry.verify(try provider.token(["aud": audience])) else {
                Issue.record("\(audience)")
                continue
            }
            #expect(token.isFor(["casemate"]) == fits, "\(audience)")
        }
    }

    @Test("a function's own audience is its URL")
    func functionAudiences() {
        let (registry, _) = registry()
        #expect(registry.audiences(of: FunctionName("plant/score")!) == [], "not before the gateway's URL is known")
        registry.setGateway("https://calls.example")
        #expect(registry.audiences(of: FunctionName("plant/score")!) == ["https://calls.example/f/plant/score"])
    }

    @Test(
        "an issuer's URL is https, without what could hide another; http on loopback alone",
        arguments: [
            ("https://idp.example", true), ("https://idp.example/realms/main", true), ("https://idp.example:8443/", true),
            ("http://127.0.0.1:8080", true), ("http://localhost/x", true), ("http://[::1]:80", true), ("http://idp.example", false),
            ("https://", false), ("https:///x", false), ("https://a@b", false), ("https://a?b", false), ("https://a#b", false),
            ("https://a\\b", false), ("https://a b", false), ("http://127.0.0.1.evil.example", false), ("http://localhostess", false),
            ("file:///etc/passwd", false), ("", false), ("HTTPS://idp.example", false),
        ])
    func urls(url: String, isOne: Bool) { #expect(Issuer.isURL(url) == isOne) }
}
