import Testing

@testable import CasemateSandbox

@Suite("Hellos of TLS clients")
struct ClientHelloTests {
    private static func block16(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes }

    private static func serverName(_ name: [UInt8], type: UInt8 = 0) -> [UInt8] { [0, 0] + block16(block16([type] + block16(name))) }

    /// The handshake message.
    static func message(extensions: [UInt8]?, session: Int = 32, suites: [UInt8] = [0x13, 1]) -> [UInt8] {
        var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32) + [UInt8(session)] + [UInt8](repeating: 1, count: session)
        body += block16(suites) + [1, 0]
        if let extensions { body += block16(extensions) }
        return [1, UInt8(body.count >> 16), UInt8(body.count >> 8 & 255), UInt8(body.count & 255)] + body
    }

    static func record(_ payload: [UInt8]) -> [UInt8] { [22, 3, 1] + block16(payload) }

    static func hello(_ name: String) -> [UInt8] {
        record(message(extensions: [0, 43, 0, 3, 2, 3, 4] + serverName(Array(name.utf8)) + [0, 23, 0, 0]))
    }

    private func reading(_ bytes: [UInt8]) -> ClientHello.Reading {
        var hello = ClientHello()
        hello.feed(bytes)
        return hello.reading
    }

    @Test("a name is found, as it was written, with other extensions around it")
    func name() { #expect(reading(Self.hello("Api.example.com")) == .name("Api.example.com")) }

    @Test("in pieces of any size the reading is the same, and what follows is let be")
    func pieces() {
        let bytes = Self.hello("api.example.com") + [23, 3, 3, 0, 1, 0]
        for size in [1, 2, 3, 5, 7, 64] {
            var hello = ClientHello()
            for start in stride(from: 0, to: bytes.count, by: size) { hello.feed(bytes[start..<min(start + size, bytes.count)]) }
            #expect(hello.reading == .name("api.example.com"), "\(size)")
        }
    }

    @Test("a message spread over records of one byte each is read")
    func records() {
        let message = Self.message(extensions: Self.serverName(Array("api.example.com".utf8)))
        #expect(reading(message.flatMap { Self.record([$0]) }) == .name("api.example.com"))
    }

    @Test("nothing is read before the last byte of the message")
    func incomplete() {
        let bytes = Self.hello("api.example.com")
        for length in 0..<bytes.count { #expect(reading(Array(bytes[..<length])) == .needsMore, "\(length)") }
    }

    @Test("without a name there is none")
    func noName() {
        #expect(reading(Self.record(Self.message(extensions: nil))) == .noName)
        #expect(reading(Self.record(Self.message(extensions: []))) == .noName)
        #expect(reading(Self.record(Self.message(extensions: [0, 23, 0, 0]))) == .noName)
    }

    @Test("a name that is encrypted is not what can be read beside it")
    func hidden() {
        let both = Self.serverName(Array("front.example".utf8)) + [0xfe, 0x0d, 0, 1, 0]
        #expect(reading(Self.record(Self.message(extensions: both))) == .hiddenName)
        #expect(reading(Self.record(Self.message(extensions: [0xfe, 0x0d, 0, 1, 0] + Self.serverName(Array("a.b".utf8))))) == .hiddenName)
    }

    @Test("what is no hello is refused")
    func refused() {
        let name = Array("a.org".utf8)
        let wrong: [(String, [UInt8])] = [
            ("plain HTTP", Array("GET / HTTP/1.1\r\n".utf8)), ("SSH", Array("SSH-2.0-x\r\n".utf8)), ("SSL 2", [0x80, 0x2e, 1, 0, 2]),
            ("another record", [23, 3, 1, 0, 1, 0]), ("SSL 2 version", [22, 2, 0, 0, 1, 1]), ("an empty record", [22, 3, 1, 0, 0]),
            ("a record too long", [22, 3, 1, 0x40, 1]), ("another message", Self.record([2, 0, 0, 0])),
            ("too long", Self.record([1, 1, 0, 1])),
            ("two names", Self.record(Self.message(extensions: Self.serverName(name) + Self.serverName(name)))),
            (
                "two names in one",
                Self.record(
                    Self.message(extensions: [0, 0] + Self.block16(Self.block16(([0] + Self.block16(name)) + ([0] + Self.block16(name))))))
            ),
            ("another type of name", Self.record(Self.message(extensions: Self.serverName(name, type: 1)))),
            ("an empty name", Self.record(Self.message(extensions: Self.serverName([])))),
            ("a name with a NUL", Self.record(Self.message(extensions: Self.serverName(name + [0])))),
            ("a name of another script", Self.record(Self.message(extensions: Self.serverName([0xc3, 0xbc])))),
            ("extensions cut short", Self.record(Self.message(extensions: [0, 0, 0, 9, 0]))),
            ("a session of 33 bytes", Self.record(Self.message(extensions: [], session: 33))),
            ("no cipher suites", Self.record(Self.message(extensions: [], suites: []))),
            ("half a cipher suite", Self.record(Self.message(extensions: [], suites: [1, 2, 3]))),
        ]
        for (what, bytes) in wrong { #expect(reading(bytes) == .notTLS, "\(what)") }
    }

    @Test("whatever bytes come, there is a reading and no end of the process")
    func random() {
        var numbers = SystemRandomNumberGenerator()
        let sound = Self.hello("api.example.com")
        for _ in 0..<20_000 {
            var bytes = sound
            for _ in 0..<Int.random(in: 1...4, using: &numbers) {
                bytes[Int.random(in: 0..<bytes.count, using: &numbers)] = UInt8.random(in: 0...255, using: &numbers)
            }
            _ = reading(bytes)
        }
    }
}
