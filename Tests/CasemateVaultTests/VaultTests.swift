import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

@Suite("Sealing and opening secrets")
struct VaultTests {
    private let function = FunctionId()
    private let name = VariableName("DB_URL")!
    private let other = VariableName("API_KEY")!

    private func withVault(_ body: (Vault, _ wrappedKey: [UInt8]) throws -> Void) throws {
        try withVaultFolder { folder throws in
            let vault = Vault(keyring: try FileKeyring(path: folder + "/kek", mayCreate: true))
            try body(vault, try vault.newDataKey(for: function))
        }
    }

    private func row(_ sealed: [UInt8], _ name: VariableName, _ version: Int) -> SealedSecret {
        SealedSecret(functionId: function, name: name, version: version, sealed: sealed, updated: Timestamp(milliseconds: 1))
    }

    @Test(
        "what was sealed opens, in the order of the rows",
        arguments: [[], [0], Array("größer".utf8), [UInt8](repeating: 7, count: 65_536)] as [[UInt8]])
    func roundTrip(value: [UInt8]) throws {
        try withVault { vault, key throws in
            let first = try vault.seal(Secret(value), of: function, wrappedKey: key, name: name, version: 1)
            let second = try vault.seal(Secret([9]), of: function, wrappedKey: key, name: other, version: 8)
            let opened = try vault.open([row(first, name, 1), row(second, other, 8)], of: function, wrappedKey: key)
            #expect(opened.map(\.name) == [name, other])
            #expect(opened.map { $0.value.withBytes { $0 } } == [value, [9]])
        }
    }

    @Test("the value is not in what is stored")
    func ciphertext() throws {
        try withVault { vault, key throws in
            let sealed = try vault.seal(Secret(text: "hunter2-hunter2"), of: function, wrappedKey: key, name: name, version: 1)
            // 96-bit nonce, value, 128-bit tag.
            #expect(sealed.count == 12 + 15 + 16)
            #expect(!String(decoding: sealed, as: Unicode.ASCII.self).contains("hunter2"))
        }
    }

    @Test("equal values are sealed differently, and so are equal data keys")
    func nonces() throws {
        try withVault { vault, key throws in
            let sealed = try (0..<50).map { _ in try vault.seal(Secret([1]), of: function, wrappedKey: key, name: name, version: 1) }
            #expect(Set(sealed).count == 50)
            #expect(Set(sealed.map { Array($0.prefix(12)) }).count == 50)
            #expect(try vault.newDataKey(for: function) != key)
        }
    }

    @Test("a row moved to another function, name or version does not open")
    func moved() throws {
        try withVault { vault, key throws in
            let sealed = try vault.seal(Secret([1, 2, 3]), of: function, wrappedKey: key, name: name, version: 2)
            for wrong in [row(sealed, other, 2), row(sealed, name, 1), row(sealed, name, 22)] {
                #expect(throws: VaultError.self) { try vault.open([wrong], of: function, wrappedKey: key) }
            }
            #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 2)], of: FunctionId(), wrappedKey: key) }
            let strange = FunctionId()
            let strangeKey = try vault.newDataKey(for: strange)
            #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 2)], of: strange, wrappedKey: strangeKey) }
            #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 2)], of: function, wrappedKey: strangeKey) }
            // Another data key of the same function.
            let newer = try vault.newDataKey(for: function)
            #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 2)], of: function, wrappedKey: newer) }
        }
    }

    @Test("two rows whose values were swapped do not open")
    func swapped() throws {
        try withVault { vault, key throws in
            let first = try vault.seal(Secret([1]), of: function, wrappedKey: key, name: name, version: 1)
            let second = try vault.seal(Secret([2]), of: function, wrappedKey: key, name: other, version: 1)
            #expect(throws: VaultError.self) {
                try vault.open([row(second, name, 1), row(first, other, 1)], of: function, wrappedKey: key)
            }
        }
    }

    @Test("one bad row opens none")
    func oneBad() throws {
        try withVault { vault, key throws in
            let sealed = try vault.seal(Secret([1]), of: function, wrappedKey: key, name: name, version: 1)
            #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 1), row([], other, 1)], of: function, wrappedKey: key) }
            #expect(try vault.open([], of: function, wrappedKey: []).isEmpty)
        }
    }

    @Test("each changed byte, and each missing one, is found")
    func damaged() throws {
        try withVault { vault, key throws in
            let sealed = try vault.seal(Secret([1, 2, 3]), of: function, wrappedKey: key, name: name, version: 1)
            for index in sealed.indices {
                var wrong = sealed
                wrong[index] ^= 1
                #expect(throws: VaultError.self) { try vault.open([row(wrong, name, 1)], of: function, wrappedKey: key) }
                #expect(throws: VaultError.self) { try vault.open([row(Array(sealed[..<index]), name, 1)], of: function, wrappedKey: key) }
            }
            #expect(throws: VaultError.self) { try vault.open([row(sealed + [0], name, 1)], of: function, wrappedKey: key) }
            for index in key.indices {
                var wrong = key
                wrong[index] ^= 0x80
                #expect(throws: VaultError.self) { try vault.open([row(sealed, name, 1)], of: function, wrappedKey: wrong) }
            }
        }
    }

    @Test("another key-encryption key opens nothing")
    func otherKey() throws {
        try withVault { vault, key throws in
            let sealed = try vault.seal(Secret([1]), of: function, wrappedKey: key, name: name, version: 1)
            try withVault { stranger, _ throws in
                #expect(throws: VaultError.self) { try stranger.open([row(sealed, name, 1)], of: function, wrappedKey: key) }
                #expect(throws: VaultError.self) { try stranger.seal(Secret([1]), of: function, wrappedKey: key, name: name, version: 1) }
            }
        }
    }
}
