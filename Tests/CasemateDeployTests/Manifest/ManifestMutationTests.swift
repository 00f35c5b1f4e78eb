@testable import CasemateDeploy
import CasemateModel
import Testing

@Suite("A manifest with slips of the pen")
struct ManifestMutationTests {
    /// SplitMix64, so that a failure comes again.
    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private static let sound = """
        namespace: plant
        functions:
          anomaly-score:
            source: ./anomaly
            runtime: python3.11
            handler: handler.handle
            signature: cognite
            secrets:
              - API_KEY
              - {name: DB}
            env:
              REGION: north
              TEXT: |
                two
                lines
              QUOTED: "a \\u00e9 *b"
            limits: {memory: 256MiB, cpu: 1.0, timeout: 60s, concurrency: 1, tmp: 64MiB, pids: 64}
            scale: {min: 0, max: 10, idle: 10m}
          lookup: {source: x/y, runtime: python3.11, handler: 'a/b.c', access: public}

        """
    private static let inserted =
        Array("{}[]:,-?&*!|>'\"%@`#~<\\ \n\t\r\0=é\u{85}\u{2028}\u{FEFF}".unicodeScalars).map(String.init) + [
            ": ", "- ", "? ", "*a ", "&a ", "!!a ", "<<: ", "\n---\n", "\n...\n", "  ", "{{", "}}:", "|+2\n", "''", "\"\"", "\\x", "null",
        ]

    private func mutated(_ dice: inout Dice) -> String {
        var bytes = Array(Self.sound.utf8)
        for _ in 0...Int.random(in: 0..<3, using: &dice) {
            let place = Int.random(in: 0..<bytes.count, using: &dice)
            let end = min(bytes.count, place + Int.random(in: 1...20, using: &dice))
            switch Int.random(in: 0..<6, using: &dice) {
            case 0: bytes.removeSubrange(place..<end)
            case 1: bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0..<bytes.count, using: &dice))
            case 2: bytes[place] = UInt8.random(in: 0...255, using: &dice)
            case 3: bytes.removeSubrange(place...)
            default: bytes.insert(contentsOf: Self.inserted.randomElement(using: &dice)!.utf8, at: place)
            }
            if bytes.isEmpty { bytes = [0x20] }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("is answered with faults that have a line and a fix, or read")
    func mutations() throws {
        #expect(try ManifestParser.parse(Self.sound, file: "x").functions.count == 2)
        var dice = Dice(state: 0xCA5E_3A7E)
        var readable = 0
        for _ in 0..<2000 {
            let text = mutated(&dice)
            do {
                _ = try ManifestParser.parse(text, file: "x")
                readable += 1
            } catch {
                let lines = error.diagnostics.map { $0.line ?? 0 }
                #expect(error.diagnostics.contains { $0.severity == .error }, "\(text)")
                #expect(lines == lines.sorted() && lines.last! <= text.unicodeScalars.count + 1, "\(text)")
                #expect(error.diagnostics.allSatisfy { $0.severity == .warning || !$0.fix.isEmpty }, "\(text)")
            }
        }
        // Enough of them get past YAML to be read at all.
        #expect(readable > 40)
    }
}
