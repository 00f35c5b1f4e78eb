import Testing

import CasemateModel

@Suite("Ranges of addresses")
struct AddressRangeTests {
    @Test(
        "an address in a range is found",
        arguments: [
            ("10.0.0.0/8", "10.255.255.255"), ("10.0.0.0/8", "10.0.0.0"), ("192.168.4.0/22", "192.168.7.255"), ("0.0.0.0/0", "203.0.113.9"),
            ("127.0.0.1", "127.0.0.1"), ("127.0.0.1/32", "127.0.0.1"), ("128.0.0.0/1", "255.0.0.1"), ("fd00::/8", "fdff::1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::/33", "2001:db8:7fff::"), ("::/0", "2001:db8::1"), ("10.1.2.3/8", "10.9.9.9"),
        ])
    func inside(range: String, address: String) throws { #expect(try #require(AddressRange(range)).contains(address)) }

    @Test(
        "an address beyond it is not",
        arguments: [
            ("10.0.0.0/8", "11.0.0.0"), ("10.0.0.0/8", "9.255.255.255"), ("192.168.4.0/22", "192.168.8.0"), ("127.0.0.1", "127.0.0.2"),
            ("128.0.0.0/1", "127.255.255.255"), ("fd00::/8", "fe00::1"), ("2001:db8::/33", "2001:db8:8000::"), ("0.0.0.0/0", "::1"),
            ("::/0", "10.0.0.1"),
            ("10.0.0.0/8", ""), ("10.0.0.0/8", "10.0.0"), ("10.0.0.0/8", "host"), ("10.0.0.0/8", "10.0.0.1/8"),
        ])
    func outside(range: String, address: String) throws { #expect(try !#require(AddressRange(range)).contains(address)) }

    @Test(
        "what is no range is none",
        arguments: [
            "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0", "10.0.0.256", "010.0.0.1/8", "fd00::/129",
            "localhost",
            "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/0x8", "1::2::3",
        ])
    func refused(text: String) { #expect(AddressRange(text) == nil) }
}
