import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

extension AccountLabel: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension Role: ExpressibleByArgument {}

/// `NAMESPACE/NAME` of a service account.
struct AccountName: ExpressibleByArgument, CustomStringConvertible {
    let namespace: NamespaceName
    let label: AccountLabel

    init?(argument: String) {
        let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let namespace = NamespaceName(parts[0]), let label = AccountLabel(parts[1]) else { return nil }
        (self.namespace, self.label) = (namespace, label)
    }

    var description: String { "\(namespace)/\(label)" }
    var apiPath: String { "/v1/namespaces/\(namespace)/service-accounts/\(label)" }
}

struct ServiceAccountCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service-account", abstract: "Make, list and delete identities for machines, and their credentials.",
        discussion: """
            A service account signs in at /oauth/token with its client id and secret, for an access token of an hour; for tools that take
            an API key instead, make one:
              casemate service-account create ci --namespace plant --role deployer
              casemate service-account key create plant/ci
            """,
        subcommands: [Create.self, List.self, Delete.self, Rotate.self, Key.self, Trust.self])

    struct Item: Decodable {
        var subject: String
        var name: String
        var clientId: String
        var clientSecret: String?
        var created: String
        var createdBy: String
        var keys: [KeyItem]
    }

    struct KeyItem: Decodable {
        var id: String
        var key: String?
        var prefix: String
        var description: String
        var expires: String?
        var lastUsed: String?
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a service account. Its client secret is shown once.",
            discussion: "Without --role it may do nothing until something is granted to it.")
        @Argument(help: "1 to 63 of a-z, 0-9 and -.") var name: AccountLabel
        @Option(help: "Where it belongs.") var namespace: NamespaceName
        @Option(help: "Its role in that namespace.") var role: Role?
        @OptionGroup var output: OutputOptions

        private struct Body: Encodable {
            var name: String
            var role: String?
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(
                    .POST, "/v1/namespaces/\(namespace)/service-accounts", body: Body(name: name.text, role: role?.rawValue))
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                Terminal.error("\(item.subject); the secret is shown this once")
                Terminal.line("client_id      \(item.clientId)")
                Terminal.line("client_secret  \(item.clientSecret ?? "")")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a namespace's service accounts with their keys.")
        @Argument var namespace: NamespaceName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/namespaces/\(namespace)/service-accounts")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["serviceAccounts"] ?? []
                Terminal.table(
                    ["NAME", "CLIENT ID", "CREATED", "BY"],
                    items.map { [$0.name, $0.clientId, $0.created, Terminal.visible($0.createdBy)] })
                let keys = items.flatMap { item in item.keys.map { (item.name, $0) } }
                guard !keys.isEmpty else { return }
                Terminal.line("")
                Terminal.table(
                    ["KEY", "OF", "STARTS WITH", "EXPIRES", "LAST USED", "DESCRIPTION"],
                    keys.map { [$1.id, $0, $1.prefix, $1.expires ?? "", $1.lastUsed ?? "never", Terminal.visible($1.description)] })
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a service account, its credentials and its grants.")
        @Argument(help: "NAMESPACE/NAME") var account: AccountName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, account.apiPath)
                try output.done("service account \(account) is gone", ["deleted": "\(account)"])
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give it a new client secret, shown once.",
            discussion: "The old one ends at once, and with it the access tokens that it led to. Keys stay.")
        @Argument(help: "NAMESPACE/NAME") var account: AccountName
        @OptionGroup var output: OutputOptions

        private struct View: Decodable {
            var clientId: String
            var clientSecret: String
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.POST, account.apiPath + "/secret")
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                Terminal.error("the secret is shown this once")
                Terminal.line("client_id      \(view.clientId)")
                Terminal.line("client_secret  \(view.clientSecret)")
            }
        }
    }

    struct Key: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make and revoke API keys of a service account.", subcommands: [Create.self, Revoke.self])

        struct Create: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Make an API key. It is shown once.", discussion: "For Authorization: Bearer, X-Auth-Token or CASEMATE_KEY.")
            @Argument(help: "NAMESPACE/NAME") var account: AccountName
            @Option(help: "Days until it expires, 1 to 3650.") var expiresInDays = 90
            @Option(help: "What it is for.") var description: String?
            @OptionGroup var output: OutputOptions

            private struct Body: Encodable {
                var description: String?
                var expiresInDays: Int
            }

            func run() async throws {
                try await APIClient.with { client in
                    let bytes = try await client.jsonBytes(
                        .POST, account.apiPath + "/keys", body: Body(description: description, expiresInDays: expiresInDays))
                    if output.json { return Terminal.write(bytes + [10]) }
                    let item = try JSONDecoder().decode(KeyItem.self, from: Data(bytes))
                    Terminal.error("shown this once; expires \(item.expires ?? "")")
                    Terminal.line(item.key ?? "")
                }
            }
        }

        struct Revoke: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Revoke an API key: from now on it is refused.")
            @Argument(help: "NAMESPACE/NAME") var account: AccountName
            @Argument(help: "Its id, from service-account list.") var id: String
            @OptionGroup var output: OutputOptions

            func run() async throws {
                guard KeyId(id) != nil else {
                    throw CommandFailure("a key's id is a UUID; see: casemate service-account list \(account.namespace)", code: 2)
                }
                try await APIClient.with { client in
                    _ = try await client.send(.DELETE, "\(account.apiPath)/keys/\(id)")
                    try output.done("key \(id) is revoked", ["revoked": id])
                }
            }
        }
    }
}
