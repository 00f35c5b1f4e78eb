import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list, revoke and exchange tokens for calling functions.",
        subcommands: [Create.self, List.self, Revoke.self, Exchange.self, Assume.self])

    struct Item: Codable {
        var id: String
        var token: String?
        var prefix: String
        var function: String?
        var description: String
        var expires: String?
        var lastUsed: String?
    }

    struct NewToken: Encodable {
        var function: String?
        var description: String?
        var expiresInDays: Int
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token. It is shown once.",
            discussion: "For one function (NAMESPACE/FUNCTION) or for all of a namespace (NAMESPACE). Callers send it in X-Auth-Token.")
        @Argument(help: "NAMESPACE/FUNCTION, or NAMESPACE for all its functions.") var scope: String
        @Option(help: "Days until it expires, 1 to 3650.") var expiresInDays = 90
        @Option(help: "What it is for.") var description: String?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let function = FunctionName(scope)
            guard let namespace = function?.namespace ?? NamespaceName(scope) else {
                throw CommandFailure("\(scope) is neither NAMESPACE/FUNCTION nor NAMESPACE", code: 2)
            }
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(
                    .POST, "/v1/namespaces/\(namespace)/tokens",
                    body: NewToken(function: function?.function.text, description: description, expiresInDays: expiresInDays))
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                Terminal.error("shown this once; expires \(item.expires ?? "")")
                Terminal.line(item.token ?? "")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a namespace's tokens, without their values.")
        @Argument var namespace: NamespaceName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/namespaces/\(namespace)/tokens")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["tokens"] ?? []
                Terminal.table(
                    ["ID", "STARTS WITH", "FUNCTION", "EXPIRES", "LAST USED", "DESCRIPTION"],
                    items.map {
                        [
                            $0.id, $0.prefix, $0.function ?? "(all)", $0.expires ?? "", $0.lastUsed ?? "never",
                            Terminal.visible($0.description),
                        ]
                    })
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a token: from now on it is refused.")
        @Argument var namespace: NamespaceName
        @Argument(help: "Its id, from token list.") var id: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard TokenId(id) != nil else { throw CommandFailure("a token's id is a UUID; see: casemate token list \(namespace)", code: 2) }
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "/v1/namespaces/\(namespace)/tokens/\(id)")
                try output.done("token \(id) is revoked", ["revoked": id])
            }
        }
    }

    struct Assume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Get an access token of a service account for a pipeline's own token.",
            discussion: """
                Needs no credential of Casemate's, only CASEMATE_URL, and a rule that lets the token in (casemate service-account trust):
                  export CASEMATE_KEY=$(casemate token assume CLIENT_ID --token-file token.jwt)
                """)
        @Argument(help: "The service account's client id.") var clientId: String
        @Option(help: "A file with the pipeline's token; - for standard input.") var tokenFile: String
        @OptionGroup var output: OutputOptions

        private struct Granted: Decodable { var access_token: String }

        func run() async throws {
            guard AccountId(clientId) != nil else {
                throw CommandFailure("a client id is a UUID; see: casemate service-account list", code: 2)
            }
            let data = tokenFile == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: tokenFile)
            guard let data, let text = String(data: data, encoding: .utf8) else {
                throw CommandFailure("\(tokenFile) can't be read", code: 2)
            }
            try await APIClient.with(isAnonymous: true) { client in
                let bytes = try await client.form(
                    client.configuration.url + "/oauth/token",
                    [
                        "grant_type": "client_credentials", "client_id": clientId,
                        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                        "client_assertion": text.trimmingCharacters(in: .whitespacesAndNewlines),
                    ])
                if output.json { return Terminal.write(bytes + [10]) }
                Terminal.line(try JSONDecoder().decode(Granted.self, from: Data(bytes)).access_token)
            }
        }
    }

    struct Exchange: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Get a token that calls one function, for ten minutes.",
            discussion: "In exchange for your own credential (RFC 8693). Callers send it in Authorization: Bearer; it opens nothing else.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        private struct Granted: Decodable {
            var access_token: String
            var expires_in: Int
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.form(
                    client.configuration.url + "/oauth/token",
                    [
                        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": client.configuration.key,
                        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "scope": "fn:\(function)",
                    ])
                if output.json { return Terminal.write(bytes + [10]) }
                let granted = try JSONDecoder().decode(Granted.self, from: Data(bytes))
                Terminal.error("opens \(function) alone, for \(granted.expires_in / 60) minutes")
                Terminal.line(granted.access_token)
            }
        }
    }
}
