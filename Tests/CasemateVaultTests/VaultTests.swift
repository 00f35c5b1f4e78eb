import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

@Suite("Sealing and opening secrets")
struct VaultTests {
    private let function = FunctionId()
    private let name = VariableName("DB_URL")!
    private let other = VariableName("API_KEY")!

    private func withVault(_ body: (Vault, DataKey, WrappedKey) async throws -> Void) async throws {
        try await withVaultFolder { folder async throws in
            let vault = Vault(providers: [try FileKeyring(path: folder + "/kek", mayCreate: true)])
            let (key, wrapped) = try await vault.newDataKey(for: function)
            try await body(vault, key, wrapped)
        }
    }

    private func row(_ sealed: [UInt8], _ name: VariableName, _ version: Int) -> SealedSecret {
        SealedSecret(functionId: function, name: name, version: version, sealed: sealed, updated: Timestamp(milliseconds: 1))
    }

    @Test(
        "what was sealed opens, in the order of the rows",
        arguments: [[], [0], Array("größer".utf8), [UInt8](repeating: 7, count: 65_536)] as [[UInt8]])
    func roundTrip(value: [UInt8]) async throws {
        try await withVault { vault, key, wrapped async throws in
            let first = try key.seal(Secret(value), name: name, version: 1)
            let second = try key.seal(Secret([9]), name: other, version: 8)
            let again = try await vault.open(wrapped, of: function)
            let opened = try again.open([row(first, name, 1), row(second, other, 8)])
            #expect(opened.map(\.name) == [name, other])
            #expect(opened.map { $0.value.withBytes { Array($0) } } == [value, [9]])
            let atOnce = try #require(try vault.openNow(wrapped, of: function))
            #expect(try atOnce.open([row(first, name, 1)]).count == 1)
        }
    }

    @Test("the value is not in what is stored")
    func ciphertext() async throws {
        try await withVault { _, key, _ async throws in
            let sealed = try key.seal(Secret(text: "hunter2-hunter2"), name: name, version: 1)
            // 96-bit nonce, value, 128-bit tag.
            #expect(sealed.count == 12 + 15 + 16)
            #expect(!String(decoding: sealed, as: Unicode.ASCII.self).contains("hunter2"))
        }
    }

    @Test("equal values are sealed differently, and so are equal data keys")
    func nonces() async throws {
        try await withVault { vault, key, wrapped async throws in
            let sealed = try (0..<50).map { _ in try key.seal(Secret([1]), name: name, version: 1) }
            #expect(Set(sealed).count == 50)
            #expect(Set(sealed.map { Array($0.prefix(12)) }).count == 50)
            #expect(try await vault.newDataKey(for: function).wrapped != wrapped)
            #expect(try await vault.rewrap(wrapped, of: function) != wrapped)
        }
    }

    @Test("a row moved to another function, name or version does not open")
    func moved() async throws {
        try await withVault { vault, key, wrapped async throws in
            let sealed = try key.seal(Secret([1, 2, 3]), name: name, version: 2)
            for wrong in [row(sealed, other, 2), row(sealed, name, 1), row(sealed, name, 22)] {
                #expect(throws: VaultError.tampered) { try key.open([wrong]) }
            }
            let strange = FunctionId()
            let (strangeKey, strangeWrapped) = try await vault.newDataKey(for: strange)
            #expect(throws: VaultError.tampered) { try strangeKey.open([row(sealed, name, 2)]) }
            // Neither function's wrapped key opens as the other's.
            await #expect(throws: VaultError.tampered) { try await vault.open(wrapped, of: strange) }
            await #expect(throws: VaultError.tampered) { try await vault.open(strangeWrapped, of: function) }
            // Another data key of the same function.
            let (newer, _) = try await vault.newDataKey(for: function)
            #expect(throws: VaultError.tampered) { try newer.open([row(sealed, name, 2)]) }
        }
    }

    @Test("two rows whose values were swapped do not open")
    func swapped() async throws {
        try await withVault { _, key, _ async throws in
            let first = try key.seal(Secret([1]), name: name, version: 1)
            let second = try key.seal(Secret([2]), name: other, version: 1)
            #expect(throws: VaultError.tampered) { try key.open([row(second, name, 1), row(first, other, 1)]) }
        }
    }

    @Test("one bad row opens none")
    func oneBad() async throws {
        try await withVault { _, key, _ async throws in
            let sealed = try key.seal(Secret([1]), name: name, version: 1)
            #expect(throws: VaultError.tampered) { try key.open([row(sealed, name, 1), row([], other, 1)]) }
        }
    }

    @Test("each changed byte, and each missing one, is found")
    func damaged() async throws {
        try await withVault { vault, key, wrapped async throws in
            let sealed = try key.seal(Secret([1, 2, 3]), name: name, version: 1)
            for index in sealed.indices {
                var wrong = sealed
                wrong[index] ^= 1
                #expect(throws: VaultError.tampered) { try key.open([row(wrong, name, 1)]) }
                #expect(throws: VaultError.tampered) { try key.open([row(Array(sealed[..<index]), name, 1)]) }
            }
            #expect(throws: VaultError.tampered) { try key.open([row(sealed + [0], name, 1)]) }
            for index in wrapped.bytes.indices {
                var wrong = wrapped
                wrong.bytes[index] ^= 0x80
                await #expect(throws: VaultError.tampered) { try await vault.open(wrong, of: function) }
                wrong.bytes = Array(wrapped.bytes[..<index])
                await #expect(throws: VaultError.tampered) { try await vault.open(wrong, of: function) }
            }
        }
    }

    @Test("another key-encryption key opens nothing, whatever the row says of its name")
    func otherKey() async throws {
        try await withVault { _, _, wrapped async throws in
            try await withVault { stranger, _, own async throws in
                await #expect(throws: VaultError.self) { try await stranger.open(wrapped, of: function) }
                for name in [own.keyId, ""] {
                    await #expect(throws: VaultError.tampered) {
                        try await stranger.open(WrappedKey(keyId: name, bytes: wrapped.bytes), of: function)
                    }
                }
            }
        }
    }

    @Test("a key that was wrapped before keys had names opens")
    func unnamed() async throws {
        try await withVault { vault, key, wrapped async throws in
            let sealed = try key.seal(Secret([1]), name: name, version: 1)
            let old = try await vault.open(WrappedKey(keyId: "", bytes: wrapped.bytes), of: function)
            #expect(try old.open([row(sealed, name, 1)]).count == 1)
        }
    }

    @Test("sealed, the vault opens and wraps nothing; unsealed, it does again")
    func sealing() async throws {
        try await withVault { vault, _, wrapped async throws in
            vault.setSealed(true)
            await #expect(throws: VaultError.sealed) { try await vault.open(wrapped, of: function) }
            #expect(throws: VaultError.sealed) { try vault.openNow(wrapped, of: function) }
            await #expect(throws: VaultError.sealed) { try await vault.newDataKey(for: function) }
            await #expect(throws: VaultError.sealed) { try await vault.beginRotation() }
            vault.setSealed(false)
            _ = try await vault.open(wrapped, of: function)
        }
    }

    @Test("a fingerprint is the same for the same value of the same secret, and tells nothing else")
    func fingerprints() async throws {
        try await withVault { vault, key, wrapped async throws in
            let print = key.fingerprint(of: Secret(text: "hunter2-hunter2"), name: name)
            #expect(print.count == 16)
            #expect(key.fingerprint(of: Secret(text: "hunter2-hunter2"), name: name) == print)
            #expect(try await vault.open(wrapped, of: function).fingerprint(of: Secret(text: "hunter2-hunter2"), name: name) == print)
            #expect(key.fingerprint(of: Secret(text: "hunter2-hunter3"), name: name) != print)
            #expect(key.fingerprint(of: Secret(text: "hunter2-hunter2"), name: other) != print)
            let (another, _) = try await vault.newDataKey(for: FunctionId())
            #expect(another.fingerprint(of: Secret(text: "hunter2-hunter2"), name: name) != print)
        }
    }

    @Test("neither a data key nor what it opened shows itself")
    func shown() async throws {
        try await withVault { _, key, _ async throws in
            let opened = try key.open([row(try key.seal(Secret(text: "hunter2-hunter2"), name: name, version: 1), name, 1)])
            var dumped = ""
            dump(opened, to: &dumped)
            dump(key, to: &dumped)
            #expect(!(dumped + "\(opened) \(key) \(String(reflecting: key))").contains("hunter2"))
            #expect("\(key)" == "<redacted>")
        }
    }
}
