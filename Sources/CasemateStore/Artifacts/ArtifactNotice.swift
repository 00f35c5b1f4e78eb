import CasemateModel
import Synchronization

/// What a store has to tell whoever keeps the server.
public enum ArtifactNotice: Sendable, Equatable {
    public enum Place: String, CaseIterable, Sendable { case folder, cache, bucket }

    /// What lay under a digest was something else.
    case quarantined(digest: String, Place)
    /// For the server's log.
    case failed(String, why: String)
}

/// Tells, and counts.
final class ArtifactNotices: Sendable {
    private let tell: @Sendable (ArtifactNotice) -> Void
    private let counts: Mutex<[ArtifactNotice.Place: Int]> = Mutex([:])

    init(_ tell: @Sendable @escaping (ArtifactNotice) -> Void) { self.tell = tell }

    func quarantined(_ digest: String, _ place: ArtifactNotice.Place) {
        counts.withLock { $0[place, default: 0] += 1 }
        tell(.quarantined(digest: digest, place))
    }

    func failed(_ what: String, _ error: any Error) { tell(.failed(what, why: "\(error)")) }

    var quarantined: [ArtifactNotice.Place: Int] { counts.withLock { $0 } }
}

extension Problem {
    static let archiveTampered = Problem(
        .unavailable, "the archive of this source does not have its digest any more, so nothing is made of it; deploy from the source again"
    )
    static let archiveUnreachable = Problem(.unavailable, "the archive of this source can't be had now; try again", retryAfterSeconds: 30)
    static let archiveNotStored = Problem(
        .unavailable, "the archive could not be stored, so nothing was; try again", retryAfterSeconds: 30)
}
