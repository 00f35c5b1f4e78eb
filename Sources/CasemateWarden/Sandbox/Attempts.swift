import CLinux
import CasemateLinux
import Glibc

/// The hostile system calls of one sandbox. The kernel asks before it carries one out, and is always told to refuse.
///
/// crun loads the filter and sends the kernel's listener over a socket of the sandbox's own, with a text that is not read. Only then does
/// it start the sandbox's program, so that nothing runs in there that is not listened to.
final class Attempts {
    private enum State {
        /// crun has not connected yet.
        case expected(socket: Descriptor)
        /// crun is connected; the listener has not come yet.
        case connected(socket: Descriptor)
        case listening(Descriptor)
        case closed
        /// What came over the socket was no listener.
        case failed
    }

    /// What there is to tell the owner.
    enum Report: Equatable {
        case tried(UInt32)
        /// The last one.
        case more
    }

    static let mostReports = 64
    /// No sandbox keeps the worker longer than for this many at a time.
    private static let mostAtOnce = 16

    private let path: String
    private var state: State
    private var reported = 0

    /// Waits for crun at `path`, in a folder that only root can enter.
    init(path: String) throws(SystemError) {
        self.path = path
        let socket = Descriptor(try check(cl_stream_listen(path, 0o600), "listening on \(path)"))
        defer { socket.staysOpen() }
        try check(cl_set_nonblocking(socket.raw), "listening on \(path)")
        state = .expected(socket: socket)
    }

    /// What to watch now.
    var descriptor: Int32? {
        switch state {
        case .expected(let socket), .connected(let socket): socket.raw
        case .listening(let listener): listener.raw
        case .closed, .failed: nil
        }
    }

    /// Whether no listener will ever come.
    var hasFailed: Bool { if case .failed = state { true } else { false } }

    /// Goes as far as it can without waiting. Answers whether `descriptor` is another one now; its number may be the same.
    func proceed(_ report: (Report) -> Void) -> Bool {
        var hasChanged = false
        if case .expected(let socket) = state { hasChanged = accept(on: socket) || hasChanged }
        if case .connected(let socket) = state { hasChanged = receive(on: socket) || hasChanged }
        if case .listening(let listener) = state { answer(listener, report) }
        return hasChanged
    }

    /// The kernel refuses by itself from now on, with ENOSYS.
    func close() {
        if case .expected = state { unlink(path) }
        state = .closed
    }

    private func accept(on socket: Descriptor) -> Bool {
        var peer: uid_t = .max
        let fd = cl_accept(socket.raw, &peer)
        guard fd >= 0 else { return false }
        let connection = Descriptor(fd)
        unlink(path)
        state = peer == 0 ? .connected(socket: connection) : .failed
        return true
    }

    private func receive(on socket: Descriptor) -> Bool {
        var text = [UInt8](repeating: 0, count: 64)
        var listener: Int32 = -1
        var count = 1
        let got = cl_receive(socket.raw, &text, text.count, &listener, &count, 1)
        if got == -EAGAIN { return false }
        state = got > 0 && count == 1 ? .listening(Descriptor(listener)) : .failed
        return true
    }

    private func answer(_ listener: Descriptor, _ report: (Report) -> Void) {
        for _ in 0..<Self.mostAtOnce {
            var number: UInt32 = 0
            let result = cl_notify_refuse(listener.raw, EPERM, &number)
            if result == 0 { return }
            guard result > 0 else { return close() }
            reported += 1
            report(.tried(number))
            if reported == Self.mostReports {
                report(.more)
                return close()
            }
        }
    }
}
