import Testing

@testable import CasemateSandbox

@Suite("Questions to the resolver")
struct NameQueryTests {
    /// As `getaddrinfo` of glibc sends it for api.example.com, written by hand.
    static let plain: [UInt8] = [
        0xbe, 0xef,  // id
        0x01, 0x00,  // recursion desired
        0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // one question
        0x03, 0x61, 0x70, 0x69,  // api
        0x07, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65,  // example
        0x03, 0x63, 0x6f, 0x6d, 0x00,  // com
        0x00, 0x01, 0x00, 0x01,  // A, IN
    ]

    private func changed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = Self.plain
        change(&bytes)
        return bytes
    }

    @Test("an ordinary question is read")
    func ordinary() throws {
        let query = try #require(NameQuery(Self.plain))
        #expect(query.name == "api.example.com")
        #expect(query.type == NameQuery.typeA)
        #expect(query.id == (0xbe, 0xef))
    }

    @Test("case makes no difference, and the question comes back as it was written")
    func upperCase() throws {
        let bytes = changed { $0[13] = 0x41 }
        let query = try #require(NameQuery(bytes))
        #expect(query.name == "api.example.com")
        #expect(Array(query.response(.noSuchName)[12...]) == Array(bytes[12...]))
    }

    @Test("an EDNS record after the question is let be")
    func edns() throws {
        let bytes = changed {
            $0[11] = 1
            $0 += [0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]
        }
        #expect(NameQuery(bytes)?.name == "api.example.com")
    }

    @Test("an AAAA question is read as one")
    func otherType() { #expect(NameQuery(changed { $0[30] = 28 })?.type == 28) }

    @Test("a message cut at any byte is none")
    func truncated() { for length in 0..<Self.plain.count { #expect(NameQuery(Array(Self.plain[..<length])) == nil, "\(length)") } }

    @Test("what is no question of one name in class IN is none")
    func refused() {
        let wrong: [(String, [UInt8])] = [
            ("an answer", changed { $0[2] |= 0x80 }), ("another opcode", changed { $0[2] |= 0x10 }), ("no question", changed { $0[5] = 0 }),
            ("two questions", changed { $0[5] = 2 }), ("257 questions", changed { $0[4] = 1 }),
            ("class CH", changed { $0[32] = 3 }), ("class ANY", changed { $0[32] = 255 }), ("class over 255", changed { $0[31] = 1 }),
            ("a pointer for a name", Array(Self.plain[..<12]) + [0xc0, 12, 0, 1, 0, 1]),
            ("a pointer to itself after a label", Array(Self.plain[..<16]) + [0xc0, 12, 0, 1, 0, 1]),
            ("a label of 64 bytes", Array(Self.plain[..<12]) + [64] + [UInt8](repeating: 97, count: 64) + [0, 0, 1, 0, 1]),
            ("a label with a dot", changed { $0[13] = 0x2e }), ("a label with a NUL", changed { $0[13] = 0 }),
            ("a label with a space", changed { $0[13] = 0x20 }), ("a label beyond ASCII", changed { $0[13] = 0xe4 }),
            ("a label that runs over the end", changed { $0[16] = 63 }), ("no end of the name", Array(Self.plain[..<28])),
            ("over 512 bytes", changed { $0 += [UInt8](repeating: 0, count: 513 - $0.count) }),
        ]
        for (what, bytes) in wrong { #expect(NameQuery(bytes) == nil, "\(what)") }
    }

    @Test("a damaged question is one or none, and no trap")
    func mutations() {
        for _ in 0..<5000 {
            var bytes = Self.plain
            for _ in 0..<Int.random(in: 1...4) { bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255) }
            if Bool.random() { bytes.removeLast(Int.random(in: 0...bytes.count)) }
            if let query = NameQuery(bytes) { #expect(query.response(.nothing).count >= 17) }
        }
    }

    @Test("an address is answered with authority, to the same id and question")
    func address() throws {
        let answer = try #require(NameQuery(Self.plain)).response(.address(0x7f42_0009))
        #expect(Array(answer[..<12]) == [0xbe, 0xef, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
        #expect(Array(answer[12..<33]) == Array(Self.plain[12...]))
        // The name by a pointer, A, IN, 60 s, four bytes.
        #expect(Array(answer[33...]) == [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 66, 0, 9])
    }

    @Test("a name that is allowed but has no such record is no error; another is unknown")
    func others() throws {
        let query = try #require(NameQuery(changed { $0[2] = 0 }))
        #expect(Array(query.response(.nothing)[..<12]) == [0xbe, 0xef, 0x84, 0x80, 0, 1, 0, 0, 0, 0, 0, 0])
        #expect(Array(query.response(.noSuchName)[..<12]) == [0xbe, 0xef, 0x84, 0x83, 0, 1, 0, 0, 0, 0, 0, 0])
        #expect(query.response(.noSuchName).count == Self.plain.count)
    }

    @Test("what is no question of ours is told so, an answer is not")
    func faults() {
        #expect(NameQuery.fault(of: changed { $0[5] = 2 }) == [0xbe, 0xef, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(NameQuery.fault(of: changed { $0[2] |= 0x10 })?[3] == 4)
        #expect(NameQuery.fault(of: changed { $0[2] |= 0x80 }) == nil)
        #expect(NameQuery.fault(of: Array(Self.plain[..<11])) == nil)
    }
}
