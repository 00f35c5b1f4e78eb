import CasemateModel
import CP11Kit
import Testing

@testable import CasemateVault

@Suite("The gate before C_Login")
struct LoginGateTests {
    private let first = PIN.Version(seconds: 1, nanoseconds: 0, content: 1)
    private let second = PIN.Version(seconds: 2, nanoseconds: 0, content: 1)

    @Test(
        "a refused PIN is not tried again until its file changes",
        arguments: [CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_INVALID])
    func refused(code: UInt) throws {
        var gate = LoginGate()
        try gate.check(first, tokenFlags: 0)
        #expect(throws: KeyProviderError.self) { try gate.answered(code, to: first) }
        for _ in 0..<3 { #expect(throws: KeyProviderError.self) { try gate.check(first, tokenFlags: 0) } }
        try gate.check(second, tokenFlags: 0)
        try gate.answered(CKR_OK, to: second)
        try gate.check(first, tokenFlags: 0)
    }

    @Test("a device's failure is no refusal")
    func failure() throws {
        var gate = LoginGate()
        try gate.answered(CKR_DEVICE_ERROR, to: first)
        try gate.check(first, tokenFlags: 0)
    }

    @Test("a locked PIN, and the last try, are left alone")
    func flags() throws {
        let gate = LoginGate()
        try gate.check(first, tokenFlags: CKF_USER_PIN_COUNT_LOW | CKF_LOGIN_REQUIRED)
        for flag in [CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED] {
            #expect(throws: KeyProviderError.self) { try gate.check(first, tokenFlags: flag) }
        }
    }
}
