import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import Foundation
import HTTPTypes

/// The server's part of `casemate backup`, which runs on its host and may read what the server may not.
extension APIServices {
    var backupRoutes: [APIRoute] {
        [
            APIRoute(.post, "/v1/backups", needs: .right(.platformAdmin)) { _ in
                guard await rotation.progress.phase != .running else {
                    throw Problem(.conflict, "the key-encryption key is being rotated; make the backup when that is done")
                }
                try await audited(AuditEvent(.backupMade, [:]))
                do {
                    return .json(BackupView(id: try await backups.begin(), version: CasemateVersion.text), status: .created)
                } catch let error as VaultError { throw error.problem }
            },
            APIRoute(.post, "/v1/backups/{backup}/seal", needs: .right(.platformAdmin)) { request in
                let body = try Self.digest(try await request.body(limit: 4096))
                let code = try await backups.end(request.parameter("backup"), digest: body)
                AuditContext.current?.changedNothing()
                return .json(BackupSeal(code: Data(code).base64EncodedString()))
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func digest(_ bytes: [UInt8]) throws -> [UInt8] {
        let body: NewBackupSeal = try StrictJSON.decode(bytes)
        guard let digest = Data(base64Encoded: body.digest), digest.count == 32 else {
            throw Problem(.invalidRequest, "digest: SHA-256 of the backup's list in base64")
        }
        return Array(digest)
    }
}

struct NewBackupSeal: StrictDecodable {
    static let fields: Set<String> = ["digest"]
    var digest: String
}

struct BackupView: Encodable, Sendable {
    var id: String
    var version: String
}

struct BackupSeal: Encodable, Sendable { var code: String }
