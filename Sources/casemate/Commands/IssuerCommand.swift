import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

extension IssuerLabel: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

struct IssuerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issuer", abstract: "Add, list and remove identity providers whose tokens are taken.",
        discussion: """
            A token of such a provider stands for a person: user:NAME:USERNAME, group:NAME:GROUP in grants. It opens a function only if it
            is made out for it, by a scope fn:NAMESPACE/FUNCTION or by its audience.
              casemate issuer add corp https://idp.example.com/realms/main --audience casemate
              casemate grant group:corp:engineers developer --on plant
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Item: Decodable {
        var name: String
        var url: String
        var audiences: [String]
        var usernameClaim: String
        var groupsClaim: String
        var algorithms: [String]
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Trust an identity provider.",
            discussion: "Its keys are found by OpenID Connect discovery below its URL, and fetched anew when they change.")
        @Argument(help: "What it is called here: 1 to 63 of a-z, 0-9 and -.") var name: IssuerLabel
        @Argument(help: "Its URL, exactly as its tokens have it in iss.") var url: String
        @Option(help: "What tokens for this server have in aud. May stand several times.") var audience: [String]
        @Option(help: "The claim that people are called by.") var usernameClaim = "sub"
        @Option(help: "The claim that lists their groups.") var groupsClaim = "groups"
        @Option(help: "What its tokens may be signed with. May stand several times. Default: RS256, PS256, ES256, EdDSA.") var algorithm:
            [String] = []
        @Option(help: "The public client, registered there, by which people sign in: casemate login.") var clientId: String?
        @Option(help: "What a sign-in asks for.") var scope: String?
        @Flag(name: .customLong("device"), help: "People may sign in by a code that they type elsewhere, too: casemate login --device.")
        var allowsDevice = false
        @Flag(
            name: .customLong("pipelines"),
            help:
                "Its tokens stand for service accounts alone (casemate service-account trust): where anyone can get one, for any audience."
        ) var forPipelines = false
        @Option(help: "A file with a certificate authority to trust besides the system's, in PEM.") var ca: String?
        @OptionGroup var output: OutputOptions

        private struct Body: Encodable {
            var name: String
            var url: String
            var audiences: [String]
            var usernameClaim: String
            var groupsClaim: String
            var algorithms: [String]?
            var authority: String?
            var clientId: String?
            var scope: String?
            var allowsDevice: Bool
            var forPipelines: Bool
        }

        func run() async throws {
            let authority = try ca.map { path in
                guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                    throw CommandFailure("\(path) can't be read", code: 2)
                }
                return text
            }
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(
                    .POST, "/v1/issuers",
                    body: Body(
                        name: name.text, url: url, audiences: audience, usernameClaim: usernameClaim, groupsClaim: groupsClaim,
                        algorithms: algorithm.isEmpty ? nil : algorithm, authority: authority, clientId: clientId,
                        scope: scope, allowsDevice: allowsDevice, forPipelines: forPipelines))
                if output.json { return Terminal.write(bytes + [10]) }
                Terminal.line(
                    forPipelines
                        ? "tokens of \(url) are taken where a service account trusts them: casemate service-account trust"
                        : "tokens of \(url) are taken; its people are user:\(name):… in grants")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the identity providers whose tokens are taken.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/issuers")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["issuers"] ?? []
                Terminal.table(
                    ["NAME", "URL", "AUDIENCES", "USERNAME", "GROUPS"],
                    items.map {
                        [$0.name, $0.url, $0.audiences.joined(separator: ", "), $0.usernameClaim, $0.groupsClaim].map(Terminal.visible)
                    })
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Trust an identity provider no longer.", discussion: "Its tokens are refused at once; the grants of its people go.")
        @Argument var name: IssuerLabel
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "/v1/issuers/\(name)")
                try output.done("issuer \(name) is gone", ["deleted": name.text])
            }
        }
    }
}
