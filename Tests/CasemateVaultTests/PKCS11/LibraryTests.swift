import CP11Kit
import Foundation
import Testing

@testable import CasemateVault

extension SoftHSM {
    @Suite("The HSM's library")
    struct Library {
        private let key = [UInt8](repeating: 9, count: 32)

        @Test("the library is called on one thread, which is not Swift's")
        func oneThread() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                try await withProvider(faulty.address) { provider in
                    _ = try await provider.activeKey(mayCreate: true)
                    await withTaskGroup(of: Void.self) { group in
                        for _ in 0..<20 { group.addTask { _ = try? await provider.wrap(key, context: []) } }
                    }
                    try faulty.tell("C_FindObjectsInit", CKR_SESSION_CLOSED, times: 1)
                    _ = try await provider.rotate()
                }
                #expect(faulty.threads.count == 1 && faulty.count("C_Finalize") == 2)
            }
        }

        @Test("a provider that is let go logs out, and its thread ends")
        func letGo() async throws {
            try await withToken { token in
                let faulty = try FaultyToken(token)
                for round in 1...3 {
                    _ = try await PKCS11KeyProvider(faulty.address).activeKey(mayCreate: true)
                    for _ in 0..<500 where faulty.count("C_Finalize") < round { try await Task.sleep(for: .milliseconds(10)) }
                    #expect(faulty.count("C_Finalize") == round)
                }
                for thread in faulty.threads {
                    for _ in 0..<500 where FileManager.default.fileExists(atPath: "/proc/self/task/\(thread)") {
                        try await Task.sleep(for: .milliseconds(10))
                    }
                    #expect(!FileManager.default.fileExists(atPath: "/proc/self/task/\(thread)"))
                }
                // As one that was never used.
                _ = try PKCS11KeyProvider(faulty.address)
            }
        }

        @Test("the process ends while calls are under way, and doesn't crash or wait for ever", arguments: 1...5)
        func endOfProcess(round: Int) async throws {
            try await withToken { token in
                try await withProvider(token.address()) { _ = try await $0.activeKey(mayCreate: true) }
                let address = token.address()
                await #expect(processExitsWith: .exitCode(7)) { [address = address as String, round = round as Int] in
                    let provider = try PKCS11KeyProvider(address)
                    _ = try await provider.activeKey(mayCreate: false)
                    for _ in 0..<4 {
                        Task.detached {
                            while true {
                                _ = try? await provider.wrap([1, 2, 3], context: [])
                                await provider.close()
                            }
                        }
                    }
                    usleep(UInt32(round) * 3000)
                    exit(7)
                }
            }
        }
    }
}
