import CasemateModel
import Crypto
import Foundation
import Testing

@testable import CasemateStore

@Suite("Whoever verifies the audit log")
struct AuditVerifierTests {
    /// A chain of so many records, as lines.
    private func chain(_ count: Int, _ tweak: (Int) -> [String: String] = { ["n": "\($0)"] }) throws -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var previous = AuditChain.beginning
        for number in 1...count {
            let event = AuditEvent(number == 1 ? .auditBegun : .secretSet, number == 1 ? ["chain": "c"] : tweak(number))
            let record = AuditRecord(event, sequence: UInt64(number), previous: previous, time: Timestamp(milliseconds: Int64(number)))
            let line = try AuditChain.line(record)
            lines.append(line.bytes)
            previous = line.hash
        }
        return lines
    }

    private func findings(_ lines: [[UInt8]], _ checkpoints: [AuditCheckpoint] = []) -> [String] {
        var verifier = AuditVerifier(checkpoints: checkpoints)
        for line in lines { verifier.take(line) }
        verifier.finish()
        return verifier.findings.map(\.description)
    }

    private func checkpoint(_ lines: [[UInt8]], _ number: Int, key: Curve25519.Signing.PrivateKey) throws -> AuditCheckpoint {
        let found = try #require(AuditChain.parse(lines[number - 1]))
        return try AuditCheckpoint(
            chain: "c", sequence: UInt64(number), hash: found.hash, time: Timestamp(milliseconds: 5),
            publicKey: Array(key.publicKey.rawRepresentation)
        ) { Array(try key.signature(for: $0)) }
    }

    @Test("finds nothing where nothing was done")
    func intact() throws {
        let lines = try chain(10)
        let key = Curve25519.Signing.PrivateKey()
        #expect(findings(lines, [try checkpoint(lines, 3, key: key), try checkpoint(lines, 10, key: key)]) == [])
    }

    @Test("finds each changed byte of a record")
    func bytes() throws {
        let lines = try chain(3)
        for index in lines[1].indices {
            var changed = lines
            changed[1][index] ^= 1
            #expect(findings(changed) != [], "byte \(index)")
        }
    }

    @Test("finds a record that was changed and given a fitting hash")
    func rehashed() throws {
        let lines = try chain(5)
        let other = try chain(5) { ["n": $0 == 3 ? "evil" : "\($0)"] }
        #expect(
            findings(lines.prefix(2) + [other[2]] + lines.suffix(2))
                == ["record 4 does not follow from record 3: one of them was changed or replaced"])
    }

    @Test("finds a record that was removed, doubled, added or put elsewhere")
    func places() throws {
        let lines = try chain(6)
        #expect(findings(Array(lines[..<2] + lines[3...])) == ["record 3 is missing"])
        #expect(findings(Array(lines[..<2] + lines[4...])) == ["records 3 to 4 are missing"])
        #expect(findings(lines[..<3] + [lines[2]] + lines[3...]).contains("record 3 stands after record 3: it was added, or put elsewhere"))
        #expect(!findings(lines[..<2] + [lines[3], lines[2]] + lines[4...]).isEmpty)
        #expect(findings(Array(lines.dropFirst())) == ["record 1 is missing"])
        #expect(findings(lines[..<2] + [Array("{}".utf8)] + lines[2...]) == ["line 3 is no record of a log (after record 2)"])
    }

    @Test("finds by a checkpoint that the end was cut off, or that all was written anew")
    func checkpoints() throws {
        let lines = try chain(8)
        let key = Curve25519.Signing.PrivateKey()
        let kept = try checkpoint(lines, 7, key: key)
        #expect(
            findings(Array(lines.prefix(5)), [kept])
                == ["the log ends with record 5, though record 7 has a checkpoint: its end was cut off"])
        let anew = try chain(9) { ["n": $0 == 2 ? "evil" : "\($0)"] }
        #expect(findings(anew) == [])
        #expect(findings(anew, [kept]).count == 1)
        #expect(findings([], [kept]).count == 1)
    }

    @Test("takes no checkpoint that was changed, or signed by another than it says")
    func signatures() throws {
        let lines = try chain(4)
        let kept = try checkpoint(lines, 4, key: Curve25519.Signing.PrivateKey())
        #expect(kept.isSigned)
        #expect(AuditCheckpoint(line: kept.line) == kept)
        for change: (inout AuditCheckpoint) -> Void in [
            { $0.sequence = 3 }, { $0.chain = "d" }, { $0.hash = AuditChain.beginning }, { $0.time = "later" }, { $0.signature = "AAAA" },
            { $0.publicKey = Base64URL.encode(Array(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation)) },
            { $0.chain = "c\n4" },
        ] {
            var changed = kept
            change(&changed)
            #expect(!changed.isSigned)
        }
        #expect(AuditCheckpoint(line: Array("{}".utf8)) == nil)
    }

    @Test("stops listing when there is much to list, and takes any bytes")
    func hostile() throws {
        var generator = SystemRandomNumberGenerator()
        let lines = (0..<500).map { _ in (0..<Int.random(in: 0..<300)).map { _ in UInt8.random(in: 0...255, using: &generator) } }
        #expect(findings(lines).count == 20)
        #expect(findings([[UInt8](repeating: 97, count: 100_000)]).count == 1)
    }
}
