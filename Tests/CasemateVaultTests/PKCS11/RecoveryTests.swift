import CP11Kit
import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

extension SoftHSM {
    @Suite("When the token was lost")
    struct Recovery {
        private let key = [UInt8](repeating: 9, count: 32)

        @Test(
            "a session that the token has lost is opened anew, within the call",
            arguments: [
                CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR,
                CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID,
            ])
        func lost(code: UInt) async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try await withProvider(faulty.address) { provider in
                    _ = try await provider.activeKey(mayCreate: true)
                    let wrapped = try await provider.wrap(key, context: [])
                    #expect(faulty.count("C_Initialize") == 1)
                    try faulty.tell("C_DecryptInit", code, times: 1)
                    #expect(try await provider.unwrap(wrapped, context: []) == key)
                    try faulty.tell("C_FindObjectsInit", code, times: 1)
                    _ = try await provider.wrap(key, context: [])
                    #expect(faulty.count("C_Initialize") == 3 && faulty.count("C_Finalize") == 2 && faulty.count("C_Login") == 3)

                    // Away for longer: told, and tried again by the next call, not by this one.
                    try faulty.tell("C_DecryptInit", code)
                    try faulty.tell("C_OpenSession", code)
                    for _ in 0..<2 {
                        let reason = try await unavailable { _ = try await provider.unwrap(wrapped, context: []) }
                        #expect(reason.contains("0x"))
                    }
                    #expect(faulty.count("C_OpenSession") == 5)
                    try faulty.healed()
                    #expect(try await provider.unwrap(wrapped, context: []) == key)
                }
            }
        }

        @Test("calls that waited while the HSM was tried don't each try it")
        func away() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try faulty.tell("C_GetSlotList", CKR_DEVICE_REMOVED)
                try await withProvider(faulty.address) { provider in
                    await withTaskGroup(of: Void.self) { group in
                        for _ in 0..<100 { group.addTask { _ = try? await provider.wrap(key, context: []) } }
                    }
                    #expect(faulty.count("C_Initialize") < 50)
                    try faulty.healed()
                    _ = try await provider.activeKey(mayCreate: true)
                }
            }
        }

        @Test("a general error is a wrong key only while the key works", arguments: [CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED])
        func general(code: UInt) async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try await withProvider(faulty.address) { provider in
                    _ = try await provider.activeKey(mayCreate: true)
                    let wrapped = try await provider.wrap(key, context: [])
                    try faulty.tell("C_Decrypt", code)
                    _ = try await unavailable { _ = try await provider.unwrap(wrapped, context: []) }
                    try faulty.healed()
                    #expect(try await provider.unwrap(wrapped, context: []) == key)
                    await #expect(throws: KeyProviderError.wrongKey) { try await provider.unwrap(wrapped, context: [1]) }
                }
            }
        }

        @Test("SoftHSM's files moved away and back", arguments: [true, false])
        func moved(all: Bool) async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    let id = try await provider.activeKey(mayCreate: true)
                    let wrapped = try await provider.wrap(key, context: [])
                    let one = try #require(try FileManager.default.contentsOfDirectory(atPath: token.folder).first)
                    let folder = all ? token.folder : token.folder + "/" + one
                    let expected = all ? "starting the PKCS#11 library" : "no token pkcs11:token=\(token.label)"
                    let calls: [() async throws -> Void] = [
                        { _ = try await provider.unwrap(wrapped, context: []) },
                        { _ = try await provider.unwrap(WrappedKey(keyId: "pkcs11:00", bytes: wrapped.bytes), context: []) },
                        { _ = try await provider.wrap(key, context: []) },
                        { _ = try await provider.activeKey(mayCreate: true) },
                    ]
                    // Each as the first that finds the files gone.
                    for call in calls {
                        #expect(rename(folder, Workshop.folder + "/away") == 0)
                        for _ in 0..<2 {
                            let reason = try await unavailable(call)
                            #expect(reason.contains(expected), "\(reason)")
                        }
                        #expect(rename(Workshop.folder + "/away", folder) == 0)
                        #expect(try await provider.unwrap(wrapped, context: []) == key)
                        #expect(try await provider.activeKey(mayCreate: true) == id)
                    }
                    // These ask for nothing that is gone, so SoftHSM itself has to notice.
                    #expect(rename(folder, Workshop.folder + "/away") == 0)
                    for _ in 0..<2 {
                        _ = try await unavailable { _ = try await provider.rotate() }
                        _ = try await unavailable { _ = try await provider.destroy(allBut: [id]) }
                    }
                    #expect(rename(Workshop.folder + "/away", folder) == 0)
                    #expect(try await provider.activeKey(mayCreate: false) == id)
                }
            }
        }
    }
}
