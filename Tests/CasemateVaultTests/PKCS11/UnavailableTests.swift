import CasemateModel
import CP11Kit
import Testing

@testable import CasemateVault

extension SoftHSM {
    @Suite("When the token can't be used")
    struct Unavailable {
        private let key = [UInt8](repeating: 9, count: 32)

        @Test("nothing is touched before the first use")
        func lazily() async throws {
            try await withProvider("pkcs11:token=none;object=kek?module-path=/nowhere/hsm.so&pin-source=/nowhere/pin") { provider in
                let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                #expect(reason.contains("/nowhere/hsm.so") && reason.contains("module-path="))
            }
        }

        @Test("a file that is no library is told")
        func noLibrary() async throws {
            try await withToken { token in
                for path in [token.pinPath, "/usr/lib/x86_64-linux-gnu/libz.so.1"] {
                    try await withProvider(token.address(library: path)) { provider in
                        let reason = try await unavailable { _ = try await provider.wrap(key, context: []) }
                        #expect(reason.contains(path), "\(reason)")
                    }
                }
            }
        }

        @Test("a token that isn't there is told, and found when it comes")
        func noToken() async throws {
            try await withToken { token in
                let other = TestToken(label: "latecomer")
                try await withProvider(other.address()) { provider in
                    let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    #expect(reason.contains("no token pkcs11:token=latecomer"), "\(reason)")
                    try Workshop.run(
                        "/usr/bin/softhsm2-util",
                        ["--init-token", "--free", "--label", other.label, "--so-pin", "officer-0815", "--pin", TestToken.pin])
                    _ = try await provider.activeKey(mayCreate: true)
                }
                try Workshop.run(
                    "/usr/bin/softhsm2-util",
                    ["--init-token", "--free", "--label", token.label, "--so-pin", "officer-0815", "--pin", TestToken.pin])
                try await withProvider(token.address()) { provider in
                    let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    #expect(reason.contains("2 tokens") && reason.contains("serial="))
                }
            }
        }

        @Test("no key is told, and none is made unasked")
        func noKey() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    for reason in [
                        try await unavailable { _ = try await provider.activeKey(mayCreate: false) },
                        try await unavailable { _ = try await provider.wrap(key, context: []) },
                    ] { #expect(reason.contains("no AES-256 key"), "\(reason)") }
                }
                #expect(!(try token.tool("--list-objects").contains("Secret Key")))
            }
        }

        @Test("an HSM that takes no IV is told; one that writes its own is followed; one that keeps it to itself wraps nothing")
        func ownIV() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try await withProvider(faulty.address) { provider in
                    _ = try await provider.activeKey(mayCreate: true)
                    try faulty.tell("C_EncryptInit", CKR_MECHANISM_PARAM_INVALID)
                    let refusal = try await unavailable { _ = try await provider.wrap(key, context: []) }
                    #expect(refusal.contains("the token's AES-GCM takes no IV from outside"))

                    try faulty.healed()
                    try faulty.tell("ownIV")
                    let wrapped = try await provider.wrap(key, context: [])
                    #expect(wrapped.bytes.prefix(12) == Array("its own iv!\0".utf8)[...])
                    #expect(try await provider.unwrap(wrapped, context: []) == key)

                    try faulty.healed()
                    for fault in ["ignoredIV", "garbled"] {
                        try faulty.healed()
                        try faulty.tell(fault)
                        _ = try await unavailable { _ = try await provider.wrap(key, context: []) }
                    }
                    for code: UInt in [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_SIGNATURE_INVALID, 0x42] {
                        try faulty.healed()
                        try faulty.tell("C_Decrypt", code)
                        let reason = try await unavailable { _ = try await provider.wrap(key, context: []) }
                        #expect(reason.contains("nothing was wrapped"))
                        await #expect(throws: KeyProviderError.wrongKey) { try await provider.unwrap(wrapped, context: []) }
                    }
                }
            }
        }

        @Test("what the token can't do is told with what to do")
        func advice() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try await withProvider(faulty.address) { provider in
                    for (function, code, advice) in [
                        ("C_GenerateKey", CKR_TOKEN_WRITE_PROTECTED, "write-protected"), ("C_GenerateKey", CKR_DEVICE_MEMORY, "full"),
                        ("C_GenerateKey", CKR_MECHANISM_INVALID, "CKM_AES_KEY_GEN"),
                        ("C_GenerateKey", CKR_TEMPLATE_INCONSISTENT, "own tools"),
                        ("C_OpenSession", CKR_SESSION_COUNT, "no session left"), ("C_Login", CKR_USER_PIN_NOT_INITIALIZED, "--init-pin"),
                        ("C_Initialize", CKR_GENERAL_ERROR, "configuration"), ("C_Initialize", CKR_FUNCTION_FAILED, "configuration"),
                    ] {
                        try faulty.tell(function, code)
                        let reason = try await unavailable { _ = try await provider.rotate() }
                        #expect(reason.contains(advice), "\(reason)")
                        try faulty.healed()
                    }
                    _ = try await provider.rotate()
                }
            }
        }
    }
}
