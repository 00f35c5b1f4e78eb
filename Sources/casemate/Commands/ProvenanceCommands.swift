import ArgumentParser
import CasemateModel
import CasemateVault
import Crypto
import Foundation
import NIOHTTP1

struct ProvenanceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provenance", abstract: "Print how a revision came to be: SLSA provenance, signed by the server.",
        discussion: """
            An in-toto statement in a DSSE envelope, as tools that check such things read it. The key to check it with: casemate signing-key.
            """)
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Option(help: "Its number; default: the active one.") var revision: Int?
    @Flag(help: "Check the signature with the server's key, and that it is of what runs.") var verify = false

    private struct Statement: Decodable {
        struct Subject: Decodable {
            var name: String
            var digest: [String: String]
        }

        struct Predicate: Decodable {
            struct Definition: Decodable {
                struct Parameters: Decodable { var revision: Int }
                var internalParameters: Parameters
            }
            var buildDefinition: Definition
        }

        var subject: [Subject]
        var predicate: Predicate
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, function.apiPath + "/provenance" + (revision.map { "?revision=\($0)" } ?? ""))
            guard verify else { return Terminal.write(bytes + [10]) }
            let envelope = try JSONDecoder().decode(DSSEEnvelope.self, from: Data(bytes))
            guard let id = envelope.signatures.first?.keyid, id.allSatisfy(\.isHexDigit) else {
                throw CommandFailure("the provenance of \(function) names no key")
            }
            let key = try await client.json(.GET, "/v1/keys/signing?keyId=\(id)", as: SigningKeyItem.self)
            guard let payload = Data(base64Encoded: envelope.payload), let verifying = VerifyingKey(pem: key.publicKey),
                envelope.signatures.contains(where: { signature in
                    Data(base64Encoded: signature.sig).map {
                        verifying.isValid(Array($0), over: DSSEEnvelope.signedBytes(Array(payload), type: envelope.payloadType))
                    } ?? false
                })
            else { throw CommandFailure("the provenance of \(function) is not signed by the key of this server, \(key.keyId)") }
            let item = try await client.json(.GET, function.apiPath, as: FunctionCommand.Item.self)
            let wanted = revision ?? item.activeRevision
            // A good signature over something else says nothing of this.
            guard envelope.payloadType == "application/vnd.in-toto+json",
                let statement = try? JSONDecoder().decode(Statement.self, from: payload),
                let found = (item.revisions ?? []).first(where: { $0.number == wanted }),
                statement.predicate.buildDefinition.internalParameters.revision == wanted,
                statement.subject.contains(where: {
                    $0.name == function.description && "sha256:\($0.digest["sha256"] ?? "")" == found.bundleDigest
                })
            else { throw CommandFailure("the provenance that the server gave is not of revision \(wanted ?? 0) of \(function)") }
            Terminal.line(
                "verified  revision \(found.number) of \(function), \(found.bundleDigest), signed by \(key.algorithm) key \(key.keyId)")
        }
    }
}

struct SigningKeyItem: Decodable {
    var keyId: String
    var algorithm: String
    var publicKey: String
}

struct SigningKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signing-key", abstract: "Print the public key that the server signs revisions and provenance with.")
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, "/v1/keys/signing")
            if output.json { return Terminal.write(bytes + [10]) }
            let key = try JSONDecoder().decode(SigningKeyItem.self, from: Data(bytes))
            Terminal.write(Array(key.publicKey.utf8))
            Terminal.error("\(key.algorithm) \(key.keyId)")
        }
    }
}
