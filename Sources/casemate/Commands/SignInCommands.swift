import ArgumentParser
import CasemateLinux
import CasemateModel
import Foundation
import Glibc
import NIOHTTP1

struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign in at your identity provider.",
        discussion: """
            Opens a browser on this machine; with --device, shows a code to type in a browser elsewhere. From then on commands are yours, for
            eight hours or until: casemate logout. The server is the one in CASEMATE_URL or the configuration; else give --server.
            An administrator names the providers:
              casemate issuer add corp https://idp.example.com --audience casemate --client-id casemate-cli
            """)
    @Option(help: "The server's URL.") var server: String?
    @Option(help: "Which provider, where there are several.") var issuer: IssuerLabel?
    @Flag(help: "Show a code to type in a browser on another machine.") var device = false
    @Flag(help: "Print the address, and open no browser.") var noBrowser = false
    @OptionGroup var output: OutputOptions

    private struct Ways: Decodable { var issuers: [IdentityProvider.Way] }

    private struct NewSignIn: Encodable {
        var issuer: String
        var idToken: String
        var seed: String?
        var description: String
    }

    private struct SignedIn: Decodable {
        var token: String
        var expires: String
        var subject: String
    }

    func run() async throws {
        try await APIClient.with(isAnonymous: true, server: server) { client in
            let ways: Ways = try await client.json(.GET, "/v1/sign-in")
            let way = try self.way(of: ways.issuers)
            let server = client.configuration.url
            let secrets = SignInSecrets(server: server)
            let idToken = try await IdentityProvider.with(way) { provider in
                device ? try await self.byCode(provider, server) : try await self.byBrowser(provider, secrets)
            }
            let signedIn: SignedIn = try await client.json(
                .POST, "/v1/sign-in",
                body: NewSignIn(
                    issuer: way.name, idToken: idToken, seed: device ? nil : secrets.seed,
                    description: "casemate on \(ProcessInfo.processInfo.hostName)"))
            let before = try? SignInFile.read()
            let new = SignInFile(url: server, key: signedIn.token, expires: signedIn.expires, subject: signedIn.subject)
            do {
                try new.write()
            } catch {
                _ = try? await new.end()
                throw error
            }
            if let before, !before.hasEnded { _ = try? await before.end() }
            try output.done(
                "signed in as \(Terminal.visible(signedIn.subject)) at \(client.configuration.url) until \(signedIn.expires)",
                ["subject": signedIn.subject, "url": client.configuration.url, "expires": signedIn.expires])
            if ProcessInfo.processInfo.environment["CASEMATE_KEY"] != nil {
                Terminal.error("CASEMATE_KEY is set, and comes first: unset it to use the sign-in")
            }
        }
    }

    private func way(of all: [IdentityProvider.Way]) throws -> IdentityProvider.Way {
        guard !all.isEmpty else {
            throw CommandFailure(
                "people can't sign in at this server yet: casemate issuer add NAME URL --audience … --client-id …", code: 2)
        }
        let names = all.map(\.name).joined(separator: ", ")
        if let issuer {
            guard let found = all.first(where: { $0.name == issuer.text }) else {
                throw CommandFailure("there is no provider \(issuer) to sign in at; there are: \(names)", code: 2)
            }
            return found
        }
        guard all.count == 1 else { throw CommandFailure("say which provider: --issuer, one of \(names)", code: 2) }
        return all[0]
    }

    private func byBrowser(_ provider: IdentityProvider, _ secrets: SignInSecrets) async throws -> String {
        let redirect = LoopbackRedirect(
            state: secrets.state, issuer: provider.way.url,
            namesItself: provider.metadata.authorization_response_iss_parameter_supported ?? false)
        let (code, uri) = try await redirect.code(first: { try provider.authorizationURL(redirect: $0, secrets: secrets) }) {
            [noBrowser] url, door in
            Terminal.error("sign in here, in a browser on this machine:\n  \(Terminal.visible(url))")
            if !noBrowser { Browser.open(door) }
        }
        return try await provider.idToken(code: code, redirect: uri, secrets: secrets)
    }

    private func byCode(_ provider: IdentityProvider, _ server: String) async throws -> String {
        let device = try await provider.device()
        Terminal.error("you sign in at \(Terminal.visible(provider.way.url)), for \(server)")
        Terminal.error("open this in a browser, anywhere:\n  \(Terminal.visible(device.verification_uri))")
        Terminal.error("and type the code:\n  \(Terminal.visible(device.user_code))")
        if let whole = device.verification_uri_complete { Terminal.error("or open both in one:\n  \(Terminal.visible(whole))") }
        return try await provider.idToken(of: device)
    }
}

/// The desktop's own browser, where there is one.
private enum Browser {
    static func open(_ url: String) {
        let environment = ProcessInfo.processInfo.environment
        guard isatty(2) == 1, environment["DISPLAY"] != nil || environment["WAYLAND_DISPLAY"] != nil, geteuid() != 0 else { return }
        let null = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        let own = environment.map { "\($0.key)=\($0.value)" }
        _ = try? spawn(["/usr/bin/xdg-open", url], environment: own, descriptors: [null, null, null], newSession: true)
    }
}

struct Logout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End your sign-in, here and at the server.", discussion: "Commands use the key of the configuration again, if it has one."
    )
    @OptionGroup var output: OutputOptions

    func run() async throws {
        guard let signIn = try SignInFile.read() else { throw CommandFailure("nobody is signed in here", code: 2) }
        SignInFile.remove()
        var isEnded = signIn.hasEnded
        if !isEnded {
            do {
                isEnded = try await signIn.end()
            } catch let failure as CommandFailure {
                Terminal.error("the server was not told (\(failure.message)); the session ends by itself at \(signIn.expires)")
            }
        }
        try output.done("signed out", ["subject": signIn.subject, "endedAtServer": isEnded ? "true" : "false"])
    }
}

struct SessionItem: Decodable {
    var id: String
    var kind: String
    var subject: String
    var description: String?
    var created: String
    var expires: String
    var lastUsed: String?
    var current: Bool?

    static func list(_ client: APIClient) async throws -> [SessionItem] {
        let all: [String: [SessionItem]] = try await client.json(.GET, "/v1/sessions")
        return all["sessions"] ?? []
    }
}

struct SessionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session", abstract: "List and revoke sessions.",
        discussion: """
            Your sign-ins, and sessions that you made for calls that have not come yet; an administrator of the server sees all sign-ins.
            """,
        subcommands: [List.self, Revoke.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List sessions; * is the one that you use now.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                if output.json { return Terminal.write(try await client.jsonBytes(.GET, "/v1/sessions") + [10]) }
                let items = try await SessionItem.list(client)
                Terminal.table(
                    ["", "ID", "KIND", "WHO", "WHERE", "EXPIRES", "LAST USED"],
                    items.map { item in
                        [
                            item.current ?? false ? "*" : "", item.id, item.kind, item.subject, item.description ?? "", item.expires,
                            item.lastUsed ?? "never",
                        ].map(Terminal.visible)
                    })
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a session: from now on it is refused.")
        @Argument(help: "Its id, from: casemate session list") var id: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard SessionId(id) != nil else { throw CommandFailure("a session's id is a UUID; see: casemate session list", code: 2) }
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "/v1/sessions/\(id)")
                try output.done("session \(id) is revoked", ["revoked": id])
            }
        }
    }
}
