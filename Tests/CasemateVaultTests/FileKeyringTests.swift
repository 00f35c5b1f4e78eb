import CasemateModel
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

    private let function = FunctionId()
    private let context = Array("this function".utf8)
    private let dataKey = [UInt8](repeating: 7, count: 32)

    @Test("a key that is there is read, never replaced")
    func kept() async throws {
        try await withVaultFolder { folder async throws in
            let wrapped = try await FileKeyring(path: folder + "/kek", mayCreate: true).wrap(dataKey, context: context)
            let again = try FileKeyring(path: folder + "/kek", mayCreate: true)
            #expect(try await again.unwrap(wrapped, context: context) == dataKey)
        }
    }

    @Test("a missing key that may not be made is none, until it comes")
    func missing() async throws {
        try await withVaultFolder { folder async throws in
            let keyring = try FileKeyring(path: folder + "/kek", mayCreate: false)
            let error = await #expect(throws: KeyProviderError.self) { try await keyring.activeKey() }
            guard case .unavailable(let why)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(why.contains("/kek is not there"))
            #expect(throws: (any Error).self) { try FileRevisionKey(path: folder + "/signing", mayCreate: false) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
            _ = try FileKeyring(path: folder + "/kek", mayCreate: true)
            _ = try await keyring.activeKey()
        }
    }

    @Test("a key that is taken away opens nothing; brought back, it does")
    func takenAway() async throws {
        try await withVaultFolder { folder async throws in
            let keyring = try FileKeyring(path: folder + "/kek", mayCreate: true)
            let wrapped = try await keyring.wrap(dataKey, context: context)
            try FileManager.default.moveItem(atPath: folder + "/kek", toPath: folder + "/away")
            await #expect(throws: KeyProviderError.self) { try await keyring.unwrap(wrapped, context: context) }
            #expect(throws: KeyProviderError.self) { try keyring.unwrapNow(wrapped, context: context) }
            // Another key in its place is told from a changed row.
            _ = try FileKeyring(path: folder + "/kek", mayCreate: true)
            let error = await #expect(throws: KeyProviderError.self) { try await keyring.unwrap(wrapped, context: context) }
            #expect(error != .wrongKey)
            try FileManager.default.removeItem(atPath: folder + "/kek")
            try FileManager.default.moveItem(atPath: folder + "/away", toPath: folder + "/kek")
            #expect(try await keyring.unwrap(wrapped, context: context) == dataKey)
        }
    }

    @Test("a rotated key wraps anew, and the one before opens until it is destroyed")
    func rotation() async throws {
        try await withVaultFolder { folder async throws in
            let keyring = try FileKeyring(path: folder + "/kek", mayCreate: true)
            let old = try await keyring.wrap(dataKey, context: context)
            let first = try Data(contentsOf: URL(fileURLWithPath: folder + "/kek"))
            let key = try await keyring.rotate()
            let new = try await keyring.wrap(dataKey, context: context)
            #expect(new.keyId == key)
            #expect(old.keyId != key)
            // Also after a restart in the middle.
            for keyring in [keyring, try FileKeyring(path: folder + "/kek", mayCreate: false)] {
                #expect(try await keyring.unwrap(old, context: context) == dataKey)
                #expect(try await keyring.unwrap(new, context: context) == dataKey)
                #expect(try await keyring.activeKey() == key)
            }
            #expect(try mode(folder + "/kek") == 0o600)
            #expect(try await keyring.destroy(allBut: [key]) == 1)
            #expect(try await keyring.unwrap(new, context: context) == dataKey)
            await #expect(throws: KeyProviderError.self) { try await keyring.unwrap(old, context: context) }
            let last = try Data(contentsOf: URL(fileURLWithPath: folder + "/kek"))
            #expect(last.count == 32)
            #expect(last != first)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["kek"])
            #expect(try await keyring.destroy(allBut: [key]) == 0)
            // Data keys are another provider's now.
            #expect(try await keyring.destroy(allBut: []) == 1)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test(
        "a file with several keys is taken only as it is written",
        arguments: ["casemate/kek/1\n", "casemate/kek/2\nAAAA\n", "casemate/kek/1\nAAAA\n", "casemate/kek/1\n====\n"])
    func malformed(text: String) throws {
        try withVaultFolder { folder throws in
            #expect(
                FileManager.default.createFile(
                    atPath: folder + "/kek", contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]))
            #expect(throws: KeyFileError.self) { try FileKeyring(path: folder + "/kek", mayCreate: true) }
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

    @Test("what was wrapped with one context does not unwrap with another")
    func wrapped() async throws {
        try await withVaultFolder { folder async throws in
            let keyring = try FileKeyring(path: folder + "/kek", mayCreate: true)
            let wrapped = try await keyring.wrap(dataKey, context: context)
            #expect(try await keyring.unwrap(wrapped, context: context) == dataKey)
            await #expect(throws: KeyProviderError.wrongKey) { try await keyring.unwrap(wrapped, context: [1]) }
            #expect(try await keyring.wrap(dataKey, context: context) != wrapped)
        }
    }
}
