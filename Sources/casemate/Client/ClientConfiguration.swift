import CasemateModel
import CasemateServer
import Foundation

/// Which server the command line talks to, and with which key.
struct ClientConfiguration: Sendable {
    var url: String
    var key: String
    /// A CA certificate to trust besides the system's.
    var ca: String?

    /// `CASEMATE_CONFIG`, else `~/.config/casemate/config.yaml`.
    static var path: String {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["CASEMATE_CONFIG"], !path.isEmpty { return path }
        return (environment["HOME"] ?? "/root") + "/.config/casemate/config.yaml"
    }

    /// Environment first, then whoever signed in here, then the file.
    /// - Parameters:
    ///   - isAnonymous: a key need not be known, and none is shown.
    ///   - server: another one than the configuration's.
    ///   - signIn: whose server and credential are taken, whatever else there is.
    /// - Throws: `CommandFailure` with the command to type.
    static func load(isAnonymous: Bool = false, server: String? = nil, as signIn: SignInFile? = nil) throws -> ClientConfiguration {
        let environment = ProcessInfo.processInfo.environment
        var values: [String: String] = [:]
        if let text = try? String(contentsOfFile: path, encoding: .utf8) {
            do { values = try ServerSettings.file(text, path: path) } catch { throw CommandFailure(error) }
        }
        let ca = environment["CASEMATE_CA"] ?? values["ca"]
        if let signIn { return ClientConfiguration(url: signIn.url, key: signIn.key, ca: ca) }
        let key = environment["CASEMATE_KEY"]
        // A key goes to the server that it is for: the one named beside it, and never to where somebody has signed in.
        if let key, !isAnonymous {
            guard let url = server ?? environment["CASEMATE_URL"] ?? values["url"] else { throw unknown }
            return ClientConfiguration(url: url, key: key, ca: ca)
        }
        let known = try SignInFile.read()
        guard let url = server ?? environment["CASEMATE_URL"] ?? known?.url ?? values["url"] else { throw unknown }
        if isAnonymous { return ClientConfiguration(url: url, key: "", ca: ca) }
        if let known, isSame(known.url, url) {
            // Not with another key in its place: whoever signed in would be somebody else from one command to the next.
            guard !known.hasEnded else {
                throw CommandFailure("your sign-in at \(url) has ended: casemate login, or casemate logout", code: 2)
            }
            return ClientConfiguration(url: url, key: known.key, ca: ca)
        }
        guard let key = values["key"] else { throw unknown }
        guard values["url"].map({ isSame($0, url) }) ?? true else {
            throw CommandFailure(
                "the key in \(path) is for another server than \(url); sign in there: casemate login --server \(url), or set CASEMATE_KEY",
                code: 2)
        }
        return ClientConfiguration(url: url, key: key, ca: ca)
    }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        func name(_ url: String) -> Substring { url.hasSuffix("/") ? url.dropLast() : url[...] }
        return name(left) == name(right)
    }

    private static var unknown: CommandFailure {
        CommandFailure(
            "no server is known; start one with: casemate up\n  or sign in: casemate login --server URL\n  or set CASEMATE_URL and CASEMATE_KEY",
            code: 2)
    }
}
