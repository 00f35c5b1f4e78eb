import Testing

@testable import CasemateModel

@Suite("Ids")
struct IdTests {
    static let known = "0f8fad5b-d9cb-469f-a165-70867728950e"

    @Test("an id's text leads back to it")
    func text() throws {
        let id = FunctionId()
        #expect(FunctionId(id.text) == id)
        #expect(id.description == id.text)
        #expect(id.text.utf8.count == 36)
    }

    @Test("an id's bytes lead back to it")
    func bytes() throws {
        let id = try #require(CallId(Self.known))
        #expect(id.bytes == [0x0f, 0x8f, 0xad, 0x5b, 0xd9, 0xcb, 0x46, 0x9f, 0xa1, 0x65, 0x70, 0x86, 0x77, 0x28, 0x95, 0x0e])
        #expect(CallId(bytes: id.bytes) == id)
        let fresh = CallId()
        #expect(CallId(bytes: fresh.bytes) == fresh)
    }

    @Test("other than 16 bytes are none", arguments: [0, 15, 17])
    func wrongBytes(count: Int) { #expect(CallId(bytes: [UInt8](repeating: 1, count: count)) == nil) }

    @Test("either case is read, lower case is kept")
    func upperCase() throws { #expect(try #require(FunctionId(Self.known.uppercased())).text == Self.known) }

    @Test(
        "what isn't 8-4-4-4-12 hexadecimal digits is none",
        arguments: [
            "", "0f8fad5bd9cb469fa16570867728950e", "{\(known)}", "\(known)0", String(known.dropLast()),
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "0f8fad5-bd9cb-469f-a165-70867728950e", "urn:uuid:\(known)", " \(known)", "\(known)\n", "0f8fad5b_d9cb_469f_a165_70867728950e",
            "ａf8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-7086772895-e",
        ])
    func refused(text: String) { #expect(FunctionId(text) == nil) }

    @Test("new ids differ, and carry RFC 9562's version and variant")
    func fresh() {
        var seen: Set<RevisionId> = []
        for _ in 0..<10_000 {
            let id = RevisionId()
            #expect(id.bytes[6] >> 4 == 4 && id.bytes[8] >> 6 == 2)
            seen.insert(id)
        }
        #expect(seen.count == 10_000)
    }

    @Test("every bit but the six fixed ones takes both values")
    func random() {
        var either: [UInt8] = [UInt8](repeating: 0, count: 16)
        var both: [UInt8] = [UInt8](repeating: 0xff, count: 16)
        for _ in 0..<200 {
            for (index, byte) in TokenId().bytes.enumerated() {
                either[index] |= byte
                both[index] &= byte
            }
        }
        #expect(zip(either, both).map { $0 ^ $1 } == [255, 255, 255, 255, 255, 255, 15, 255, 63, 255, 255, 255, 255, 255, 255, 255])
    }
}
