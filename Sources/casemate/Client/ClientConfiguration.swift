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

    /// - Throws: `CommandFailure` with the command to type.
    /// - Parameter isAnonymous: a key need not be known.
    static func load(isAnonymous: Bool = false) throws -> ClientConfiguration {
        let environment = ProcessInfo.processInfo.environment
        var values: [String: String] = [:]
        if let text = try? String(contentsOfFile: path, encoding: .utf8) {
            do { values = try ServerSettings.file(text, path: path) } catch { throw CommandFailure(error) }
        }
        guard let url = environment["CASEMATE_URL"] ?? values["url"],
            let key = environment["CASEMATE_KEY"] ?? values["key"] ?? (isAnonymous ? "" : nil)
        else {
            throw CommandFailure("no server is known; start one with: casemate up\n  or set CASEMATE_URL and CASEMATE_KEY", code: 2)
        }
        return ClientConfiguration(url: url, key: key, ca: environment["CASEMATE_CA"] ?? values["ca"])
    }
}
