import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

/// `NAMESPACE/FUNCTION` or `NAMESPACE` on the command line.
struct Place: ExpressibleByArgument {
    let namespace: NamespaceName
    let function: FunctionLabel?

    init?(argument: String) {
        if let name = FunctionName(argument) {
            (namespace, function) = (name.namespace, name.function)
        } else if let name = NamespaceName(argument) {
            (namespace, function) = (name, nil)
        } else {
            return nil
        }
    }
}

extension Permission: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public static var allValueStrings: [String] { Role.allCases.map(\.rawValue) + Right.allCases.map(\.rawValue) }
}

extension Right: ExpressibleByArgument {}

/// What a grant is on.
struct GrantTarget: ParsableArguments {
    @Option(help: "NAMESPACE, or NAMESPACE/FUNCTION.") var on: Place?
    @Flag(help: "On the whole server.") var platform = false

    func validate() throws {
        guard (on != nil) != platform else { throw ValidationError("say where: --on NAMESPACE, --on NAMESPACE/FUNCTION or --platform") }
    }

    var path: String { on.map { "/v1/namespaces/\($0.namespace)/grants" } ?? "/v1/grants" }
    /// As the API names it.
    var name: String { on.map { place in place.function.map { "\(place.namespace)/\($0)" } ?? place.namespace.text } ?? "*" }
}

struct GrantItem: Decodable {
    var id: String
    var subject: String
    var permission: String
    var on: String
    var created: String
    var createdBy: String

    static func list(_ bytes: [UInt8]) throws -> [GrantItem] {
        try JSONDecoder().decode([String: [GrantItem]].self, from: Data(bytes))["grants"] ?? []
    }

    static func show(_ items: [GrantItem]) {
        Terminal.table(
            ["SUBJECT", "MAY", "ON", "SINCE", "GRANTED BY"],
            items.map { [$0.subject, $0.permission, $0.on, $0.created, $0.createdBy].map(Terminal.visible) })
    }
}

struct GrantCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grant", abstract: "Allow somebody something, or list what is allowed.",
        discussion: """
            Nobody may do anything but what a grant says, and nobody grants what they do not have.
              casemate grant service-account:plant/ci deployer --on plant
              casemate grant service-account:plant/ci logs:read --on plant/score
              casemate grant --on plant                              list

            Roles, and what they give:
            \(Role.allCases.map { role in
                let rights = role.rights(on: .namespace(NamespaceId())).list.map(\.rawValue)
                return "  \(role.rawValue.padding(toLength: 10, withPad: " ", startingAt: 0)) \(rights.joined(separator: " "))"
            }.joined(separator: "\n"))
            """)
    @Argument(help: "service-account:NAMESPACE/NAME, user:ISSUER:NAME or group:ISSUER:NAME") var subject: String?
    @Argument(help: "A role or a right.") var permission: Permission?
    @OptionGroup var target: GrantTarget
    @OptionGroup var output: OutputOptions

    private struct Body: Encodable {
        var subject: String
        var permission: String
        var function: String?
    }

    func validate() throws {
        if subject != nil, permission == nil { throw ValidationError(Permission.rule) }
    }

    func run() async throws {
        try await APIClient.with { client in
            guard let subject, let permission else {
                let bytes = try await client.jsonBytes(.GET, target.path)
                if output.json { return Terminal.write(bytes + [10]) }
                return GrantItem.show(try GrantItem.list(bytes))
            }
            let bytes = try await client.jsonBytes(
                .POST, target.path, body: Body(subject: subject, permission: "\(permission)", function: target.on?.function?.text))
            if output.json { return Terminal.write(bytes + [10]) }
            Terminal.line("\(subject) is \(permission) on \(target.platform ? "the whole server" : target.name)")
        }
    }
}

struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take back a grant. It ends at once, also for what is open.")
    @Argument(help: "service-account:NAMESPACE/NAME, user:ISSUER:NAME or group:ISSUER:NAME") var subject: String
    @Argument(help: "The role or right that was granted.") var permission: Permission
    @OptionGroup var target: GrantTarget
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await APIClient.with { client in
            let found = try GrantItem.list(try await client.jsonBytes(.GET, target.path)).first {
                $0.subject == subject && $0.permission == "\(permission)" && $0.on == target.name
            }
            guard let found else {
                throw CommandFailure(
                    "\(subject) was not granted \(permission) there; see: casemate grant "
                        + (target.platform ? "--platform" : "--on \(target.name)"), code: 2)
            }
            _ = try await client.send(.DELETE, "\(target.path)/\(found.id)")
            try output.done("\(subject) is no longer \(permission) there", ["revoked": found.id])
        }
    }
}

struct WhoCan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "who-can", abstract: "List who has a right, and by which grant.",
        discussion: "The bootstrap administrator's key may do everything and is not listed. Function tokens are: casemate token list.")
    @Argument var right: Right
    @Argument(help: "NAMESPACE, or NAMESPACE/FUNCTION.") var place: Place
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await APIClient.with { client in
            let function = place.function.map { "&function=\($0)" } ?? ""
            let bytes = try await client.jsonBytes(.GET, "/v1/namespaces/\(place.namespace)/who-can?right=\(right.rawValue)\(function)")
            if output.json { return Terminal.write(bytes + [10]) }
            GrantItem.show(try GrantItem.list(bytes))
        }
    }
}

struct WhoAmI: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "whoami", abstract: "Show whose credential this is, and what it may do.")
    @OptionGroup var output: OutputOptions

    private struct View: Decodable {
        struct Held: Decodable {
            var permission: String
            var on: String
        }

        var subject: String
        var grants: [Held]
        var calls: String
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, "/v1/whoami")
            if output.json { return Terminal.write(bytes + [10]) }
            let view = try JSONDecoder().decode(View.self, from: Data(bytes))
            Terminal.line("\(view.subject) at \(client.configuration.url)")
            guard !view.grants.isEmpty else {
                return Terminal.line("  may do nothing yet; an administrator grants: casemate grant SUBJECT ROLE --on NAMESPACE")
            }
            for held in view.grants { Terminal.line("  \(held.permission) on \(held.on == "*" ? "the whole server" : held.on)") }
            Terminal.line(
                view.calls == "standing"
                    ? "  calls what these let it call without being asked, within the policies of namespaces"
                    : "  is asked before the first call of each revision: casemate consent")
        }
    }
}
