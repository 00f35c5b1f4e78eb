/// Where an asynchronous call is on its way. The queue's database lets no call go another way than this.
public enum CallState: String, Sendable, Hashable, CaseIterable, Codable {
    case queued, running
    /// Its function answered with a status below 400.
    case succeeded
    /// Its function, or the platform for it, said no for good.
    case failed
    /// Its one attempt took longer than it may.
    case timedOut
    case cancelled
    /// It was tried as often, or for as long, as it may be: a dead letter.
    case dead

    /// What it may become next. Back to `queued` it comes for another attempt alone; from an end there is no way.
    public var next: Set<CallState> {
        switch self {
        case .queued: [.running, .cancelled, .dead]
        case .running: [.queued, .succeeded, .failed, .timedOut, .cancelled, .dead]
        case .succeeded, .failed, .timedOut, .cancelled, .dead: []
        }
    }

    public var isFinal: Bool { next.isEmpty }

    /// Whether it may be asked for once more, as another call.
    public var mayBeRedriven: Bool { self == .dead || self == .failed || self == .timedOut }

    public static let final = allCases.filter(\.isFinal)
}
