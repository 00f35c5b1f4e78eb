import CasemateIdentity

/// One call's session: from where it begins to run to its end, and at the latest to the end of this.
final class CallSession {
    let key: Credential
    private let session: CallSessions.Session
    private let sessions: CallSessions
    private var isOver = false

    init(_ session: CallSessions.Session, key: Credential, sessions: CallSessions) {
        self.session = session
        self.key = key
        self.sessions = sessions
    }

    func begin(in sandbox: UInt32) {
        if !isOver { sessions.begin(session, key, in: sandbox) }
    }

    func end() {
        guard !isOver else { return }
        isOver = true
        sessions.end(key)
    }

    deinit { end() }
}
