import CasemateModel
import Testing

@testable import CasemateSandbox

@Suite("Addresses that a name may lead to")
struct AddressGuardTests {
    private let addresses = AddressGuard()

    private func refusal(_ text: String, listed: [String] = []) throws -> AddressGuard.Refusal? {
        addresses.refusal(of: try #require(IPAddress(text)), listed: listed.compactMap { AddressRange($0) })
    }

    @Test(
        "public ones",
        arguments: ["1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::5db8:d822"])
    func fit(text: String) throws { #expect(try refusal(text) == nil) }

    @Test(
        "private, reserved and multicast ones are refused, also inside of others",
        arguments: [
            "10.0.0.1", "100.64.0.1", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1",
            "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::ffff:10.0.0.1", "::10.0.0.1",
            "::ffff:0:10.0.0.1", "::ffff:0:5db8:d822", "4000::1",
            "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::1", "2001::1", "2001:db8::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1",
            "ff02::1", "100::1",
        ])
    func reserved(text: String) throws { #expect(try refusal(text) == .reserved) }

    @Test(
        "a metadata service's, however it is written",
        arguments: [
            "169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ])
    func metadata(text: String) throws { #expect(try refusal(text) == .metadata) }

    @Test("the server's own", arguments: ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
    func own(text: String) throws {
        #expect(try refusal(text) == .own)
        #expect(try refusal(text, listed: ["0.0.0.0/0", "::/0", "127.0.0.0/8"]) == .own)
    }

    @Test("a policy's range opens what is in it and nothing else")
    func listed() throws {
        #expect(try refusal("10.50.1.1", listed: ["10.50.0.0/16"]) == nil)
        #expect(try refusal("::ffff:10.50.1.1", listed: ["10.50.0.0/16"]) == nil)
        #expect(try refusal("10.51.1.1", listed: ["10.50.0.0/16"]) == .reserved)
    }

    @Test("a range opens no metadata service; its address alone does")
    func listedMetadata() throws {
        #expect(try refusal("169.254.169.254", listed: ["169.254.0.0/16", "0.0.0.0/0"]) == .metadata)
        #expect(try refusal("fd00:ec2::254", listed: ["fd00::/8"]) == .metadata)
        #expect(try refusal("169.254.169.254", listed: ["169.254.169.254/32"]) == nil)
    }
}
