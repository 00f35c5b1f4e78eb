import CasemateModel
import Testing

@testable import CasemateVault

@Suite("Ids of keys in a token")
struct TokenKeyIdTests {
    @Test("an id begins with its time, and is never made twice")
    func made() throws {
        let id = try #require(TokenKeyId(milliseconds: 0x0102_0304_0506_0708, after: nil))
        #expect(id.bytes.count == 16)
        #expect(id.bytes.prefix(8) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(TokenKeyId(milliseconds: 1, after: nil) != TokenKeyId(milliseconds: 1, after: nil))
    }

    @Test("a later one is greater, also when the clock went back")
    func order() throws {
        var last = try #require(TokenKeyId(milliseconds: 1000, after: nil))
        for now: UInt64 in [1001, 1001, 5, 0, 2000, 1999] {
            let next = try #require(TokenKeyId(milliseconds: now, after: last))
            #expect(last < next)
            last = next
        }
        #expect(TokenKeyId(milliseconds: 1, after: TokenKeyId([UInt8](repeating: 0xff, count: 16))) == nil)
    }

    @Test("one of another length is older than all of ours")
    func foreign() throws {
        let ours = try #require(TokenKeyId(milliseconds: 0, after: nil))
        for foreign in [[], [0xff], [UInt8](repeating: 0xff, count: 15), [UInt8](repeating: 0xff, count: 32)] as [[UInt8]] {
            #expect(TokenKeyId(foreign) < ours)
            #expect(!(ours < TokenKeyId(foreign)))
        }
        #expect(TokenKeyId([1]) < TokenKeyId([2]))
        #expect(TokenKeyId(milliseconds: 7, after: TokenKeyId([0xff])) != nil)
    }

    @Test("as text and back")
    func text() throws {
        for bytes in [[], [0], [0x0a, 0xff]] as [[UInt8]] { #expect(TokenKeyId(TokenKeyId(bytes).description)?.bytes == bytes) }
        #expect(TokenKeyId([0x0a, 0xff]).description == "pkcs11:0aff")
        for wrong in ["", "0aff", "pkcs11", "pkcs11:0", "pkcs11:0AFF", "pkcs11:zz", "file:0aff", "pkcs11:0aff ", "pkcs11:+a"] {
            #expect(TokenKeyId(wrong) == nil, "\(wrong)")
        }
    }
}
