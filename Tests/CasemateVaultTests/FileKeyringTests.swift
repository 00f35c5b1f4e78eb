import CasemateModel
import Crypto
import Foundation
import Testing

@testable import CasemateVault

@Suite("The file of the key-encryption key")
struct FileKeyringTests {
    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber).intValue
    }

    @Test("a new key is 32 bytes that only their owner may read, and another one each time")
    func created() throws {
        try withVaultFolder { folder throws in
            for name in ["a", "b"] {
                _ = try FileKeyring(path: "\(folder)/\(name)", mayCreate: true)
                #expect(try mode("\(folder)/\(name)") == 0o600)
                #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")).count == 32)
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/a")) != Data(contentsOf: URL(fileURLWithPath: folder + "/b")))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["a", "b"])
        }
    }

    @Test("a key that is there is read, never replaced")
    func kept() throws {
        try withVaultFolder { folder throws in
            let function = FunctionId()
            let wrapped = try Vault(keyring: FileKeyring(path: folder + "/kek", mayCreate: true)).newDataKey(for: function)
            let again = Vault(keyring: try FileKeyring(path: folder + "/kek", mayCreate: true))
            _ = try again.seal(Secret([1]), of: function, wrappedKey: wrapped, name: VariableName("K")!, version: 1)
        }
    }

    @Test("a missing key is an error when none may be made, and none is made")
    func missing() throws {
        try withVaultFolder { folder throws in
            #expect(throws: (any Error).self) { try FileKeyring(path: folder + "/kek", mayCreate: false) }
            #expect(throws: (any Error).self) { try RevisionSigner(path: folder + "/signing", mayCreate: false) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test("a key that others could read is refused", arguments: [0o644, 0o640, 0o604, 0o660, 0o610, 0o601, 0o602])
    func readable(mode: Int) throws {
        try withVaultFolder { folder throws in
            for mayCreate in [true, false] {
                _ = try FileKeyring(path: folder + "/kek", mayCreate: true)
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder + "/kek")
                let error = #expect(throws: KeyFileError.self) { try FileKeyring(path: folder + "/kek", mayCreate: mayCreate) }
                guard case .readableByOthers? = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/kek")
                _ = try FileKeyring(path: folder + "/kek", mayCreate: false)
            }
        }
    }

    @Test("a key of another size is refused", arguments: [0, 16, 31, 33, 64])
    func size(count: Int) throws {
        try withVaultFolder { folder throws in
            #expect(
                FileManager.default.createFile(
                    atPath: folder + "/kek", contents: Data(repeating: 1, count: count), attributes: [.posixPermissions: 0o600]))
            #expect(throws: KeyFileError.self) { try FileKeyring(path: folder + "/kek", mayCreate: true) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/kek")).count == count)
        }
    }

    @Test("a link in the key's place is refused, also when it leads nowhere")
    func link() throws {
        try withVaultFolder { folder throws in
            _ = try FileKeyring(path: folder + "/real", mayCreate: true)
            try FileManager.default.createSymbolicLink(atPath: folder + "/kek", withDestinationPath: folder + "/real")
            #expect(throws: (any Error).self) { try FileKeyring(path: folder + "/kek", mayCreate: true) }
            try FileManager.default.createSymbolicLink(atPath: folder + "/dangling", withDestinationPath: folder + "/none")
            #expect(throws: (any Error).self) { try FileKeyring(path: folder + "/dangling", mayCreate: true) }
            #expect(!FileManager.default.fileExists(atPath: folder + "/none"))
        }
    }

    @Test("a data key wrapped for one function does not unwrap for another")
    func wrapped() throws {
        try withVaultFolder { folder throws in
            let keyring = try FileKeyring(path: folder + "/kek", mayCreate: true)
            let function = FunctionId()
            let key = SymmetricKey(size: .bits256)
            let wrapped = try keyring.wrap(key, for: function)
            #expect(try keyring.unwrap(wrapped, for: function) == key)
            #expect(throws: VaultError.self) { try keyring.unwrap(wrapped, for: FunctionId()) }
            #expect(try keyring.wrap(key, for: function) != wrapped)
        }
    }
}
