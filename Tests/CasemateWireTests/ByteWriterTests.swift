import Testing

@testable import CasemateWire

@Suite("Short strings on the wire")
struct ByteWriterTests {
    private func roundTrip(_ text: String) throws -> String {
        var out = ByteWriter()
        out.shortString(text)
        var input = ByteReader(out.bytes)
        let read = try input.shortString()
        try input.finish()
        return read
    }

    @Test("a text of up to 255 bytes comes back whole", arguments: [0, 1, 254, 255])
    func whole(count: Int) throws {
        let text = String(repeating: "x", count: count)
        #expect(try roundTrip(text) == text)
    }

    @Test("a longer text is cut at 255 bytes")
    func cut() throws { #expect(try roundTrip(String(repeating: "x", count: 300)) == String(repeating: "x", count: 255)) }

    @Test("a longer text is still text where the cut falls into a character", arguments: 250...257, ["é", "€", "😀"])
    func cutInCharacter(before: Int, character: String) throws {
        let start = String(repeating: "x", count: before)
        let read = try roundTrip(start + character + "end of it, which goes on")
        #expect(read.utf8.count <= 255)
        #expect(read.hasPrefix(start.prefix(250)))
    }

    @Test("integers are big-endian and end where they end")
    func integers() throws {
        var out = ByteWriter()
        out.integer(UInt8(1))
        out.integer(UInt16(0x0203))
        out.integer(UInt32(0x0405_0607))
        out.integer(UInt64(0x0809_0a0b_0c0d_0e0f))
        #expect(out.bytes == Array(1...15))
        var input = ByteReader(out.bytes)
        #expect(try input.integer(UInt8.self) == 1)
        #expect(try input.integer(UInt16.self) == 0x0203)
        #expect(try input.integer(UInt32.self) == 0x0405_0607)
        #expect(try input.integer(UInt64.self) == 0x0809_0a0b_0c0d_0e0f)
        #expect(throws: WireError.truncated) { try input.integer(UInt8.self) }
        #expect(throws: WireError.truncated) { try input.take(-1) }
    }
}
