import CasemateModel
import CasemateVault
import Crypto

extension FindingId {
    /// As the checks that run in a sandbox name theirs.
    /// - Parameter subject: tells it from others of its rule in its file, and stays the same when lines move.
    static func of(_ check: String, _ rule: String, file: String, subject: String) -> FindingId? {
        let digest = SHA256.hash(data: Array([check, rule, file, subject].joined(separator: "\0").utf8))
        return FindingId(HexDigest.text(digest.prefix(16)))
    }
}
