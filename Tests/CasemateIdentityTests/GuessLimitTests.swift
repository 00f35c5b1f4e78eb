import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("How many wrong credentials may come from one place")
struct GuessLimitTests {
    private let place = CallerSource("192.0.2.1")!
    private let second: UInt64 = 1_000_000_000

    @Test("after a burst one passes in so many seconds, and the answer says when")
    func refill() throws {
        let limit = GuessLimit()
        for _ in 0..<GuessLimit.burst { try limit.failed(from: place, at: second) }
        do {
            try limit.failed(from: place, at: second)
            Issue.record("it should be refused")
        } catch {
            #expect(error.code == .rateLimited)
            let wait = try #require(error.retryAfterSeconds)
            #expect(throws: Problem.self) { try limit.failed(from: place, at: second) }
            try limit.failed(from: place, at: second + UInt64(wait) * second)
            #expect(throws: Problem.self) { try limit.failed(from: place, at: second + UInt64(wait) * second) }
        }
    }

    @Test("a place without wrong ones is held back in nothing")
    func clean() throws {
        let limit = GuessLimit()
        for _ in 0..<1000 { try limit.isNew(from: place, at: second) }
        for _ in 0..<GuessLimit.burst - 1 { try limit.failed(from: place, at: second) }
        try limit.isNew(from: place, at: second)
        try limit.failed(from: place, at: second)
        #expect(throws: Problem(.rateLimited, "")) { try limit.isNew(from: place, at: second) }
        try limit.isNew(from: CallerSource("192.0.2.2")!, at: second)
    }

    @Test("guesses from very many places keep nobody out and take a bounded memory")
    func manyPlaces() throws {
        let limit = GuessLimit()
        for number in 0..<40_000 {
            let address = IPAddress(bytes: [10, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)])!
            try limit.failed(from: CallerSource(address), at: second)
        }
        try limit.isNew(from: place, at: second)
        try limit.failed(from: place, at: second)
    }

    @Test(
        "an IPv6 network of 64 bits is one place, each IPv4 address is one",
        arguments: [
            ("2001:db8::1", "2001:db8::ffff:1", true), ("2001:db8::1", "2001:db8:0:1::1", false), ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true), ("::1", "127.0.0.1", false), ("0.0.0.1", "::", false), ("::1", "::2", true),
        ])
    func places(one: String, other: String, same: Bool) { #expect((CallerSource(one)! == CallerSource(other)!) == same) }

    @Test("what is no address is no place", arguments: ["", "unknown", "192.0.2.1:80", "[::1]", "example.com"])
    func noPlace(text: String) { #expect(CallerSource(text) == nil) }

    @Test(
        "who sent a request is the last hop that is no proxy of ours, and the peer where that is none",
        arguments: [
            ("203.0.113.9", [], "198.51.100.1", nil), ("10.0.0.1", ["10.0.0.0/8"], "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", ["10.0.0.0/8"], "1.2.3.4, 198.51.100.1, 10.0.0.7", "198.51.100.1"), ("10.0.0.1", ["10.0.0.0/8"], "", nil),
            ("203.0.113.9", ["10.0.0.0/8"], "198.51.100.1", nil), ("10.0.0.1", ["10.0.0.0/8"], "10.1.1.1", nil),
            ("::ffff:10.0.0.1", ["10.0.0.0/8"], "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", ["10.0.0.0/8"], "198.51.100.1:5123", "198.51.100.1"),
            ("10.0.0.1", ["10.0.0.0/8"], "[2001:db8::1]:443", "2001:db8::1"), ("10.0.0.1", ["10.0.0.0/8"], "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", ["10.0.0.0/8"], "unknown", nil), ("10.0.0.1", ["10.0.0.0/8"], "198.51.100.1, unknown", nil),
        ] as [(String, [String], String, String?)])
    func forwarded(peer: String, trusted: [String], field: String, expected: String?) {
        let found = CallerSource(
            peer: peer, forwarded: field.split(separator: ","), trusted: trusted.compactMap { AddressRange($0) })
        #expect(found == expected.flatMap { CallerSource($0) })
    }
}
