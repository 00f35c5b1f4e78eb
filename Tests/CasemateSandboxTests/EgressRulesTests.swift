import CasemateModel
import Testing

@testable import CasemateSandbox

@Suite("What a sandbox may reach")
struct EgressRulesTests {
    private func rules(_ hosts: [String]) -> EgressRules {
        EgressRules(
            owner: "plant/score", hosts: hosts.compactMap { AllowedHost($0) }, listed: { [] },
            record: EgressRecord(limits: EgressRecord.Limits(), totals: EgressTotals())
        ) { _ in }
    }

    @Test("a name has the ports that are listed for it, and no other name has any")
    func ports() {
        let rules = rules(["api.example.com:443", "api.example.com:80", "db.example.com:5432"])
        #expect(rules.ports(of: "api.example.com").sorted() == [80, 443])
        for other in ["example.com", "x.api.example.com", "evil-api.example.com", "api.example.com.evil.org", "api.example.co", ""] {
            #expect(rules.ports(of: other).isEmpty, "\(other)")
        }
    }

    @Test("a wild name stands for exactly one label more")
    func wild() {
        let rules = rules(["*.blob.example.net:443", "x.blob.example.net:8443"])
        #expect(rules.ports(of: "y.blob.example.net") == [443])
        #expect(rules.ports(of: "x.blob.example.net").sorted() == [443, 8443])
        for other in ["blob.example.net", ".blob.example.net", "a.b.blob.example.net", "xblob.example.net"] {
            #expect(rules.ports(of: other).isEmpty, "\(other)")
        }
    }

    @Test("the same refusal is told once in a while, and counted each time")
    func told() {
        let totals = EgressTotals()
        let record = EgressRecord(limits: EgressRecord.Limits(), totals: totals)
        #expect(record.refuse("a.org:443", .notAllowed))
        #expect(!record.refuse("a.org:443", .notAllowed))
        #expect(record.refuse("a.org:443", .wrongName))
        #expect(record.refused[.init(target: "a.org:443", reason: .notAllowed)]?.count == 2)
        #expect(totals.values.refused == [.notAllowed: 2, .wrongName: 1])
    }

    @Test("names that a function makes up don't fill the memory or its log")
    func manyTargets() {
        let record = EgressRecord(limits: EgressRecord.Limits(), totals: EgressTotals())
        let told = (0..<10_000).count { record.refuse("\($0).org:443", .notAllowed) }
        #expect(told == 256)
        #expect(record.refused.count == 256)
    }

    @Test("connections at once and bytes in an hour are limited")
    func quota() {
        let record = EgressRecord(limits: EgressRecord.Limits(connections: 2, bytesPerHour: 100), totals: EgressTotals())
        #expect(record.admit())
        #expect(record.admit())
        #expect(!record.admit())
        record.closed()
        #expect(record.admit())
        record.closed()
        record.connected("a.org:443")
        #expect(record.carried("a.org:443", out: 60, in: 39))
        #expect(!record.carried("a.org:443", out: 1, in: 0))
        #expect(!record.admit())
        #expect(record.used["a.org:443"]?.bytesOut == 61)
    }
}

@Suite("Refusals that a runtime tells")
struct ToldRefusalTests {
    @Test("a name or an address, and the port")
    func read() throws {
        let named = try #require(ToldRefusal("p443.api.example.com.refused.casemate.internal"))
        #expect(named.host == .name("api.example.com"))
        #expect(named.port == 443)
        let v4 = try #require(ToldRefusal("p80.xa9fea9fe.refused.casemate.internal"))
        #expect(v4.host == .address(try #require(IPAddress("169.254.169.254"))))
        let v6 = try #require(ToldRefusal("p80.xfd000ec2000000000000000000000254.refused.casemate.internal"))
        #expect(v6.host == .address(try #require(IPAddress("fd00:ec2::254"))))
    }

    @Test(
        "anything else is an ordinary name",
        arguments: [
            "refused.casemate.internal", "p443.refused.casemate.internal", "p0.a.org.refused.casemate.internal",
            "p65536.a.org.refused.casemate.internal", "443.a.org.refused.casemate.internal", "p443.a.org.refused.casemate.internal.org",
            "p443.127.0.0.1.refused.casemate.internal", "px.a.org.refused.casemate.internal", "",
        ])
    func others(name: String) { #expect(ToldRefusal(name) == nil) }

    @Test("a name that begins like an address is a name")
    func hexLike() { #expect(ToldRefusal("p1.xa9fe.refused.casemate.internal")?.host == .name("xa9fe")) }
}
