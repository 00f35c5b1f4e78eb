import Testing

@testable import CasemateWire

@Suite("Bundle digests")
struct BundleDigestTests {
    @Test("a digest leads to its hexadecimal digits and back")
    func roundTrip() throws {
        let bytes = (0..<32).map { UInt8($0 * 8 + 1) }
        let digest = try #require(BundleDigest(bytes))
        #expect(digest.hex == "0109111921293139414951596169717981899199a1a9b1b9c1c9d1d9e1e9f1f9")
        #expect(BundleDigest(hex: digest.hex) == digest)
    }

    @Test("only 32 bytes are one", arguments: [0, 31, 33, 64])
    func length(count: Int) { #expect(BundleDigest([UInt8](repeating: 1, count: count)) == nil) }

    @Test(
        "only 64 lower-case digits are one",
        arguments: [
            "", String(repeating: "a", count: 62), String(repeating: "a", count: 63), String(repeating: "a", count: 65),
            String(repeating: "a", count: 66), String(repeating: "A", count: 64), String(repeating: "a", count: 63) + "g",
            String(repeating: "a", count: 63) + "\0", " " + String(repeating: "a", count: 63), "0x" + String(repeating: "a", count: 62),
            String(repeating: "a", count: 63) + "ａ",
        ])
    func hex(text: String) { #expect(BundleDigest(hex: text) == nil) }
}
