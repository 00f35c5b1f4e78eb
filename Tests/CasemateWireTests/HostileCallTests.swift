import Testing

@testable import CasemateWire

@Suite("System calls that are reported")
struct HostileCallTests {
    @Test("a number has its name, and a name stands once")
    func names() {
        #expect(HostileCall.name(101) == "ptrace")
        #expect(HostileCall.name(165) == "mount")
        #expect(HostileCall.name(321) == "bpf")
        #expect(HostileCall.name(425) == "io_uring_setup")
        #expect(Set(HostileCall.names.values).count == HostileCall.names.count)
    }

    @Test("an ordinary call, a number without a call, and the end of reports make no label of their own")
    func others() {
        for number: UInt32 in [0, 39, 59, 9999, .max - 1] { #expect(HostileCall.name(number) == "other") }
        #expect(HostileCall.name(HostileCall.more) == "more")
        #expect(!HostileCall.names.values.contains("more") && !HostileCall.names.values.contains("other"))
    }
}
