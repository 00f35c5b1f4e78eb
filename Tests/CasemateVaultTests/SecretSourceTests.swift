import CasemateModel
import Foundation
import Glibc
import Testing

@testable import CasemateVault

@Suite("Values in files")
struct FileSourceTests {
    private func withFiles(_ body: (FileSource, String) async throws -> Void) async throws {
        try await withVaultFolder { folder async throws in
            try FileManager.default.createDirectory(atPath: folder + "/secrets/plant", withIntermediateDirectories: true)
            try Data("outside".utf8).write(to: URL(fileURLWithPath: folder + "/outside"))
            try await body(FileSource(folder: folder + "/secrets"), folder + "/secrets")
        }
    }

    private func write(_ text: String, to path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }

    @Test("are read anew each time, without the line end that an editor leaves")
    func read() async throws {
        try await withFiles { source, folder async throws in
            let secret = try #require(ExternalSecret("file://plant/db"))
            for (written, value) in [("one\n", "one"), ("two", "two"), ("a\nb\n", "a\nb\n")] {
                try write(written, to: folder + "/plant/db")
                #expect(try await source.value(of: secret).text == value)
            }
        }
    }

    @Test("may be links within the folder, as Kubernetes makes them, and none out of it")
    func links() async throws {
        try await withFiles { source, folder async throws in
            let manager = FileManager.default
            try manager.createDirectory(atPath: folder + "/..data", withIntermediateDirectories: true)
            try write("mounted", to: folder + "/..data/db")
            try manager.createSymbolicLink(atPath: folder + "/db", withDestinationPath: "..data/db")
            #expect(try await source.value(of: try #require(ExternalSecret("file://db"))).text == "mounted")
            for (name, target) in [("up", "../outside"), ("absolute", folder + "/../outside"), ("folder", "..")] {
                try manager.createSymbolicLink(atPath: folder + "/" + name, withDestinationPath: target)
                let text = name == "folder" ? "file://folder/outside" : "file://\(name)"
                let secret = try #require(ExternalSecret(text))
                await #expect(throws: SecretSourceError.self) { try await source.value(of: secret) }
            }
            // From one that a policy may allow to one that it may not.
            try manager.createDirectory(atPath: folder + "/other", withIntermediateDirectories: true)
            try manager.createDirectory(atPath: folder + "/plant", withIntermediateDirectories: true)
            try write("another's", to: folder + "/other/db")
            try manager.createSymbolicLink(atPath: folder + "/plant/db", withDestinationPath: "../other/db")
            try manager.createSymbolicLink(atPath: folder + "/linked", withDestinationPath: "other")
            for text in ["file://plant/db", "file://linked/db", "file://other/db?key=a"] {
                let secret = try #require(ExternalSecret(text))
                await #expect(throws: SecretSourceError.self, "\(text)") { try await source.value(of: secret) }
            }
        }
    }

    @Test("that are none, or no text, are not had", arguments: ["missing", "folder", "fifo", "large", "empty", "nul", "binary"])
    func refused(kind: String) async throws {
        try await withFiles { source, folder async throws in
            let path = "\(folder)/\(kind)"
            switch kind {
            case "folder": try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            case "fifo": #expect(mkfifo(path, 0o600) == 0)
            case "large": try Data(repeating: 97, count: Secret.maximumLength + 1).write(to: URL(fileURLWithPath: path))
            case "empty": try write("", to: path)
            case "nul": try write("a\u{0}b", to: path)
            case "binary": try Data([0xff, 0xfe]).write(to: URL(fileURLWithPath: path))
            default: break
            }
            let reference = SecretReference(name: VariableName("DB")!, from: try #require(ExternalSecret("file://\(kind)")))
            await #expect(throws: SecretSourceError.self) { try await SecretSources([source]).resolve([reference]) }
        }
    }

    @Test("come in the order in which they were asked for; where one is missing, none comes")
    func several() async throws {
        try await withFiles { source, folder async throws in
            for name in ["a", "b", "c"] { try write("value of \(name)", to: "\(folder)/\(name)") }
            let references = ["c", "a", "b"].map { SecretReference(name: VariableName($0)!, from: ExternalSecret("file://\($0)")!) }
            let sources = SecretSources([source])
            #expect(try await sources.resolve(references).map(\.value.text) == ["value of c", "value of a", "value of b"])
            let missing = SecretReference(name: VariableName("D")!, from: ExternalSecret("file://d")!)
            await #expect(throws: SecretSourceError.self) { try await sources.resolve(references + [missing]) }
            let elsewhere = SecretReference(name: VariableName("D")!, from: ExternalSecret("aws-sm://d")!)
            await #expect(throws: SecretSourceError.self) { try await sources.resolve([elsewhere]) }
            #expect(try await SecretSources([]).resolve([]).isEmpty)
        }
    }
}

@Suite("Signing what goes to webhooks")
struct WebhookSignerTests {
    @Test("is by Standard Webhooks, with a key for each receiver")
    func signature() throws {
        try withVaultFolder { folder throws in
            let signer = try WebhookSigner(path: folder + "/webhook.key")
            let alert = AlertId()
            let secret = signer.secret(of: alert)
            #expect(secret.hasPrefix("whsec_"))
            #expect(Data(base64Encoded: String(secret.dropFirst(6)))?.count == 32)
            #expect(signer.secret(of: AlertId()) != secret)
            #expect(try WebhookSigner(path: folder + "/webhook.key").secret(of: alert) == secret)
            let signed = signer.signature(of: alert, id: "a-1", time: 5, body: [1])
            #expect(signed.hasPrefix("v1,"))
            for other in [
                signer.signature(of: AlertId(), id: "a-1", time: 5, body: [1]), signer.signature(of: alert, id: "a-2", time: 5, body: [1]),
                signer.signature(of: alert, id: "a-1", time: 6, body: [1]), signer.signature(of: alert, id: "a-1", time: 5, body: [2]),
            ] { #expect(other != signed) }
        }
    }
}
