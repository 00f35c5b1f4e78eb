import CasemateModel
import CasemateStore
import CasemateVault
import Synchronization

/// Signs how far the audit log has come, every now and then, and writes that beside the log and to a second place.
public final class Checkpoints: Sendable {
    private let log: AuditLog
    private let signer: CheckpointSigner
    private let places: [any CheckpointPlace]
    /// The log's identity, which it has from its first record on: the server's as well.
    public let chain: String
    private let state: Mutex<State>
    /// Told of what could not be written where.
    private let failed: @Sendable (String, any Error) -> Void

    private struct State {
        var last: UInt64
        /// Places that did not take the last one: they get the next.
        var failing: Set<String> = []
    }

    /// The name of the file beside the log.
    public static let fileName = "checkpoints.jsonl"

    public init(
        log: AuditLog, signer: CheckpointSigner, places: [any CheckpointPlace], failed: @Sendable @escaping (String, any Error) -> Void
    ) throws {
        self.log = log
        self.signer = signer
        self.places = [CheckpointFile(path: "\(log.folder)/\(Self.fileName)")] + places
        self.failed = failed
        var chain: String?
        try AuditReader(folder: log.folder).eachLine(after: 0) { _, record in
            chain = record.details?["chain"]
            return false
        }
        guard let chain else { throw AuditFailure.damaged(log.folder) }
        self.chain = chain
        state = Mutex(State(last: 0))
    }

    public var fingerprint: String { AuditCheckpoint.fingerprint(of: signer.publicKey) }

    /// For whoever wants to keep one themselves.
    public func now() throws -> AuditCheckpoint {
        let head = log.head
        return try signer.checkpoint(chain: chain, sequence: head.sequence, hash: head.hash, at: .now)
    }

    /// Writes one to all places, if anything was recorded since the last.
    public func write() async {
        let head = log.head
        let (isNew, failing) = state.withLock { state in
            defer { state.last = head.sequence }
            return (head.sequence > state.last, state.failing)
        }
        guard isNew || !failing.isEmpty, let checkpoint = try? now() else { return }
        for place in places where isNew || failing.contains(place.name) {
            do {
                try await place.add(checkpoint)
                state.withLock { _ = $0.failing.remove(place.name) }
            } catch {
                let isFirst = state.withLock { $0.failing.insert(place.name).inserted }
                if isFirst { failed(place.name, error) }
            }
        }
    }
}
