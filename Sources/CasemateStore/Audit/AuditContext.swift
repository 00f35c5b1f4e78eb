import CasemateModel
import Synchronization

/// Whose request is being worked on: what is recorded meanwhile names them.
public final class AuditContext: Sendable {
    @TaskLocal public static var current: AuditContext?

    /// As the answer tells it.
    public let request: String
    public let source: String?
    private let state: Mutex<(actor: String, recorded: Int)> = Mutex(("anonymous", 0))

    public init(request: String, source: String?) {
        self.request = request
        self.source = source
    }

    public var actor: String { state.withLock { $0.actor } }
    /// How many records this request made.
    public var recorded: Int { state.withLock { $0.recorded } }

    /// Known once the credential was looked at.
    public func isBy(_ actor: String) { state.withLock { $0.actor = actor } }
    /// The request asked for a change, and there was nothing to do.
    public func changedNothing() { countRecords(1) }
    public func countRecords(_ number: Int) { state.withLock { $0.recorded += number } }

    /// With what the event does not say itself.
    public func completing(_ event: AuditEvent) -> AuditEvent {
        var event = event
        event.actor = event.actor ?? actor
        event.source = event.source ?? source
        event.request = event.request ?? request
        return event
    }
}
