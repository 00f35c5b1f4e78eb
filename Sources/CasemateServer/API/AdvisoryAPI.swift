import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes
import HummingbirdCore
import NIOCore

/// The advisories that bundles are held against.
extension APIServices {
    private static var largestAdvisoryArchive: Int { 512 << 20 }

    var advisoryRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/advisories", needs: .credential) { request in
                try request.allowQuery([])
                return .json(AdvisoryStatus(try await records.read { try $0.advisoryDatabase() }))
            },
            APIRoute(.put, "/v1/advisories", needs: .right(.platformAdmin)) { try await importAdvisories($0) },
        ]
    }

    private func importAdvisories(_ request: APIRequest) async throws -> APIResponse {
        let upload = try artifacts.upload(by: nil)
        var size = 0
        for try await part in request.request.body {
            size += part.readableBytes
            guard size <= Self.largestAdvisoryArchive else {
                throw Problem(.tooLarge, "an archive of advisories is at most \(Self.largestAdvisoryArchive >> 20) MiB")
            }
            try upload.write(Array(part.readableBytesView))
        }
        guard size > 0 else { throw Problem(.invalidRequest, "the archive is empty") }
        // It is read once, and kept nowhere.
        let (digest, archive) = try upload.taken()
        let result = try await advisories(archive)
        try await request.stillMay()
        let about = AdvisoryDatabase(
            records: result.advisories.count, newest: result.newest, imported: .now, importedBy: request.principal.subject, digest: digest)
        try await records.write { transaction in
            try transaction.replaceAdvisories(result.advisories, about)
            transaction.record(
                .advisoriesImported, .platform,
                ["records": "\(about.records)", "newest": about.newest.rfc3339, "digest": digest])
        }
        let affected = try await rescan()
        var status = AdvisoryStatus(about)
        (status.withdrawn, status.skipped, status.affectedFunctions) = (result.withdrawn, result.skipped, affected)
        return .json(status)
    }
}

struct AdvisoryStatus: Encodable, Sendable {
    /// 0 where there is no database yet.
    var records: Int
    var newest: String?
    var imported: String?
    /// Whether the newest is younger than a week.
    var isFresh: Bool
    var withdrawn: Int?
    var skipped: Int?
    /// Live functions with a grave advisory that nobody waived.
    var affectedFunctions: Int?

    init(_ database: AdvisoryDatabase?) {
        records = database?.records ?? 0
        newest = database?.newest.rfc3339
        imported = database?.imported.rfc3339
        isFresh = database?.isFresh(at: .now) ?? false
    }
}
