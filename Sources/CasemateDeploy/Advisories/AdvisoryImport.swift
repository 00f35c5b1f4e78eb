import CasemateLinux
import CasemateModel
import CasemateStore
import Foundation

/// Reads an archive of advisories in a sandbox: a zip of an OSV export, or a git export of a database in PyPA's form.
public struct AdvisoryImport: Sendable {
    static let seconds = 300
    static let mostBytes = 512 << 20
    let sandboxes: GateSandboxes

    public init(sandboxes: GateSandboxes) { self.sandboxes = sandboxes }

    public struct Result: Sendable {
        public var advisories: [StoredAdvisory]
        /// When the newest was changed.
        public var newest: Timestamp
        public var withdrawn: Int
        /// Records of other ecosystems, and those that could not be read.
        public var skipped: Int
    }

    /// - Throws: `.invalidRequest` for what is no such archive, with the reason.
    public func callAsFunction(_ archive: Descriptor) async throws -> Result {
        do {
            return try await sandboxes.withSession(for: nil) { session in
                try Self.read(
                    try await session.ask(
                        try GateRequest.importing().bytes, archive: archive, within: Self.seconds, maximumBody: Self.mostBytes))
            }
        } catch let refusal as GateRefusal {
            throw Problem(.invalidRequest, "the archive of advisories was refused: \(refusal.why)")
        }
    }

    private struct Head: Decodable {
        var newest: String?
        var withdrawn, skipped: Int
    }

    private struct Named: Decodable { var id, package: String }

    /// NDJSON: a line about all of them, then one for each.
    @inline(never)
    private static func read(_ bytes: [UInt8]) throws -> Result {
        let lines = bytes.split(separator: UInt8(ascii: "\n"))
        let decoder = JSONDecoder()
        guard let first = lines.first, let head = try? decoder.decode(Head.self, from: Data(first)), lines.count > 1,
            let newest = head.newest.flatMap({ Timestamp(rfc3339: $0) })
        else { throw Problem(.invalidRequest, "the archive holds no advisory for a Python package") }
        let advisories = try lines.dropFirst().map { line in
            let named = try decoder.decode(Named.self, from: Data(line))
            return StoredAdvisory(id: named.id, package: named.package, record: Array(line))
        }
        return Result(
            advisories: advisories, newest: newest,
            withdrawn: head.withdrawn, skipped: head.skipped)
    }
}
