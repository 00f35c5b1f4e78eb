import Crypto
import Foundation

/// The first file of a backup: what else is in it. It is authenticated with the backup's data key, so that nothing in it can be changed
/// without the key-encryption key.
struct BackupList: Codable {
    static let format = "casemate/backup/1"
    static let name = "backup.json"
    static let codeName = "backup.code"

    struct Entry: Codable, Equatable {
        var path: String
        /// In octal, as `ls` thinks of it.
        var mode: String
        /// Nil for a folder.
        var size: Int?
        var sha256: String?
        /// Of a symbolic link.
        var target: String?
    }

    var format: String
    var version: String
    var created: String
    /// The key-encryption key that opens it.
    var key: String
    var entries: [Entry]

    var bytes: Data {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return try encoder.encode(self)
        }
    }

    /// Whether a path may stand in a backup: below the two folders of a data folder, and no way out.
    static func isPath(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return path.utf8.count <= 4096 && !path.utf8.contains(0) && parts.count >= 2
            && (parts[0] == "server" || parts[0] == "warden" && parts[1] == "bundles")
            && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// Whether a link's target stays below the folder that `path` is in the bundle of.
    static func isInward(_ target: String, at path: String) -> Bool {
        guard !target.hasPrefix("/"), !target.utf8.contains(0), target.utf8.count <= 4096 else { return false }
        // server/…: none; warden/bundles/sha256-…/…
        var depth = path.split(separator: "/").count - 4
        for part in target.split(separator: "/") where part != "." {
            depth += part == ".." ? -1 : 1
            if depth < 0 { return false }
        }
        return path.hasPrefix("warden/bundles/")
    }
}
