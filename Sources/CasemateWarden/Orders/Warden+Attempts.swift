import CLinux
import CasemateLinux
import CasemateWire
import Glibc

extension Warden {
    /// Above this many unread bytes on the owner's socket reports are left out, so that answers always find room.
    private static let mostUnread: Int32 = 64 << 10

    /// Refuses what waits, reports it, and sees to what is to be watched next.
    func attend(to sandbox: Sandbox) {
        let hasChanged = sandbox.attempts.proceed { attempt in
            switch attempt {
            case .tried(let call): report(call, of: sandbox)
            case .more: report(HostileCall.more, of: sandbox)
            }
        }
        if hasChanged { watch(sandbox) }
        guard sandbox.attempts.hasFailed else { return }
        switch sandbox.state {
        case .waiting, .specialised:
            Journal.write("a sandbox came without a listener for its system calls")
            end(sandbox, then: .report)
        // crun's end decides, or there is nothing left to end.
        case .starting, .ending, .collecting: break
        }
    }

    /// The descriptor of a sandbox that is forgotten or goes on to another one is closed, and so no longer watched.
    func watch(_ sandbox: Sandbox) {
        guard let fd = sandbox.attempts.descriptor else { return }
        if cl_epoll_add(epoll, fd, Token.attempts | UInt64(sandbox.id)) < 0 { sandbox.attempts.close() }
    }

    private func report(_ call: UInt32, of sandbox: Sandbox) {
        switch sandbox.state {
        case .waiting, .specialised: break
        // Its owner may be gone, and another one have its number.
        case .starting, .ending, .collecting: return
        }
        guard cl_unread(sandbox.owner) < Self.mostUnread else { return }
        send(.attempted(sandbox: sandbox.id, call: call), request: 0, to: sandbox.owner)
    }
}
