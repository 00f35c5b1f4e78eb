import CasemateIdentity

/// One call's session. It ends with the call, and at the latest with this.
final class CallSession {
    let key: Credential
    private let sessions: CallSessions
    private var isOver = false

    init(key: Credential, sessions: CallSessions) {
        self.key = key
        self.sessions = sessions
    }

    func end() {
        guard !isOver else { return }
        isOver = true
        sessions.end(key)
    }

    deinit { end() }
}
