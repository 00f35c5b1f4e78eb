import CP11Kit
import Foundation
import Testing

@testable import CasemateVault

extension SoftHSM {
    @Suite("The PIN")
    struct LoggingIn {
        private let key = [UInt8](repeating: 9, count: 32)

        @Test("a PIN file that others can read is refused before the token sees it")
        func readablePIN() async throws {
            try await withToken { token in
                try token.writePIN(TestToken.pin, mode: 0o640)
                try await withProvider(token.address()) { provider in
                    let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    #expect(reason.contains(token.pinPath) && reason.contains("0600"))
                    chmod(token.pinPath, 0o600)
                    _ = try await provider.activeKey(mayCreate: true)
                }
            }
        }

        @Test("a token that wants a PIN says so when the address has none")
        func noPIN() async throws {
            try await withToken { token in
                try await withProvider("pkcs11:token=\(token.label);object=kek?module-path=\(TestToken.library)") { provider in
                    let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    #expect(reason.contains("pin-source="))
                }
            }
        }

        @Test("a wrong PIN is tried once, until the file changes")
        func wrongPIN() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try token.writePIN("hunter2-wrong\n")
                try await withProvider(faulty.address) { provider in
                    for _ in 0..<3 {
                        let reason = try await unavailable { _ = try await provider.wrap(key, context: []) }
                        #expect(reason.contains("refused the PIN") && !reason.contains("hunter2"))
                    }
                    await withTaskGroup(of: Void.self) { group in
                        for _ in 0..<20 { group.addTask { _ = try? await provider.activeKey(mayCreate: true) } }
                    }
                    #expect(faulty.count("C_Login") == 1)

                    try token.writePIN("hunter2-as-wrong\n")
                    for _ in 0..<3 { _ = try await unavailable { _ = try await provider.activeKey(mayCreate: true) } }
                    #expect(faulty.count("C_Login") == 2)

                    try token.writePIN(TestToken.pin)
                    _ = try await provider.activeKey(mayCreate: true)
                    #expect(faulty.count("C_Login") == 3)
                }
            }
        }

        @Test("a locked PIN is left alone, and has its own message")
        func lockedPIN() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try faulty.tell("C_Login", CKR_PIN_LOCKED)
                try await withProvider(faulty.address) { provider in
                    for _ in 0..<3 {
                        let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                        #expect(reason.contains("locked") && reason.contains("security officer"))
                    }
                    #expect(faulty.count("C_Login") == 1)
                    try faulty.healed()
                    _ = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    try token.writePIN(TestToken.pin)
                    _ = try await provider.activeKey(mayCreate: true)
                }
            }
        }

        @Test("the token's last try is not spent")
        func lastTry() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try faulty.tell("tokenFlags", CKF_USER_PIN_FINAL_TRY)
                try await withProvider(faulty.address) { provider in
                    let reason = try await unavailable { _ = try await provider.activeKey(mayCreate: true) }
                    #expect(reason.contains("one try"))
                    #expect(faulty.count("C_Login") == 0)
                    try faulty.healed()
                    _ = try await provider.activeKey(mayCreate: true)
                }
            }
        }
    }
}
