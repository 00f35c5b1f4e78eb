import CasemateModel
import CasemateStore
import Foundation

/// Looks through the server's own log for what was changed behind its back. An auditor's look from elsewhere is worth more; this one comes
/// without being asked.
public struct AuditSelfCheck: Sendable {
    private let folder: String
    /// Of the key that checkpoints beside the log are signed with.
    private let fingerprint: String

    public init(folder: String, fingerprint: String) {
        self.folder = folder
        self.fingerprint = fingerprint
    }

    /// What is wrong, in words; empty for nothing. Reads the whole log, on a thread that may block.
    public func findings() async throws -> [String] {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(with: Result { try look() }) }
        }
    }

    private func look() throws -> [String] {
        // What is recorded from here on is not looked at: its checkpoint may come before it is read.
        let checkpoints = try kept()
        var verifier = AuditVerifier(checkpoints: checkpoints)
        for file in AuditFiles.all(in: folder) {
            try AuditFiles.eachLine(of: file.path) { line in
                verifier.take(line)
                return true
            }
        }
        verifier.finish()
        return verifier.findings.map(\.description)
    }

    /// Those that are ours: what anybody could have written there proves nothing.
    private func kept() throws -> [AuditCheckpoint] {
        let path = "\(folder)/\(Checkpoints.fileName)"
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        var found: [AuditCheckpoint] = []
        try AuditFiles.eachLine(of: path) { line in
            if let checkpoint = AuditCheckpoint(line: line), checkpoint.fingerprint == fingerprint, checkpoint.isSigned {
                found.append(checkpoint)
            }
            return true
        }
        return found
    }
}
