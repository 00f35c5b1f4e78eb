import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

extension ServiceAccountCommand {
    struct Trust: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a pipeline's own tokens stand for a service account, so that it needs no stored secret.",
            discussion: """
                Tokens of an issuer (see: casemate issuer add) that have every claim given, each exactly:
                  casemate service-account trust add plant/ci github --claim repository=acme/plant --claim ref=refs/heads/main
                The pipeline then gets an access token for its own:
                  casemate token assume CLIENT_ID --token-file FILE
                """,
            subcommands: [Add.self, List.self, Remove.self])

        struct Item: Decodable {
            var id: String
            var issuer: String
            var claims: [String: String]
            var createdBy: String
        }

        struct Add: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Trust the tokens that have these claims.")
            @Argument(help: "NAMESPACE/NAME") var account: AccountName
            @Argument(help: "The issuer, as it is called here.") var issuer: IssuerLabel
            @Option(help: "NAME=VALUE: a claim that the token must have, exactly. May stand several times.") var claim: [String]
            @OptionGroup var output: OutputOptions

            private struct Body: Encodable {
                var issuer: String
                var claims: [String: String]
            }

            func run() async throws {
                var claims: [String: String] = [:]
                for text in claim {
                    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                    guard parts.count == 2, claims.updateValue(parts[1], forKey: parts[0]) == nil else {
                        throw CommandFailure("--claim \(text): write it as NAME=VALUE, each name once", code: 2)
                    }
                }
                try await APIClient.with { [claims] client in
                    let bytes = try await client.jsonBytes(
                        .POST, account.apiPath + "/federations", body: Body(issuer: issuer.text, claims: claims))
                    if output.json { return Terminal.write(bytes + [10]) }
                    let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                    Terminal.line("\(item.id)  tokens of \(item.issuer) with \(Self.words(item.claims)) stand for \(account)")
                    if ["sub", "ref", "environment", "workflow_ref", "job_workflow_ref"].allSatisfy({ claims[$0] == nil }) {
                        Terminal.error("any branch of it may come: add a claim like sub, ref or environment to say which")
                    }
                }
            }

            static func words(_ claims: [String: String]) -> String {
                Terminal.visible(claims.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", "))
            }
        }

        struct List: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "List whose tokens stand for a service account.")
            @Argument(help: "NAMESPACE/NAME") var account: AccountName
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await APIClient.with { client in
                    let bytes = try await client.jsonBytes(.GET, account.apiPath + "/federations")
                    if output.json { return Terminal.write(bytes + [10]) }
                    let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["federations"] ?? []
                    Terminal.table(
                        ["ID", "ISSUER", "CLAIMS", "BY"], items.map { [$0.id, $0.issuer, Add.words($0.claims), $0.createdBy] })
                }
            }
        }

        struct Remove: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Trust those tokens no longer.", discussion: "The account's access tokens end at once, too.")
            @Argument(help: "NAMESPACE/NAME") var account: AccountName
            @Argument(help: "Its id, from: service-account trust list") var id: String
            @OptionGroup var output: OutputOptions

            func run() async throws {
                guard FederationId(id) != nil else {
                    throw CommandFailure("a rule's id is a UUID; see: casemate service-account trust list \(account)", code: 2)
                }
                try await APIClient.with { client in
                    _ = try await client.send(.DELETE, "\(account.apiPath)/federations/\(id)")
                    try output.done("rule \(id) is gone", ["removed": id])
                }
            }
        }
    }
}
