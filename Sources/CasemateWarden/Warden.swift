import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// The worker: one thread, one epoll. Takes orders from servers, runs crun, reaps, reports.
///
/// Sandboxes belong to the connection that ordered them and die with it.
final class Warden {
    enum Token {
        static let listener: UInt64 = 1
        static let signals: UInt64 = 2
        static let connection: UInt64 = 1 << 32
        static let attempts: UInt64 = 2 << 32
    }

    let settings: WardenSettings
    let cgroups = Cgroups()
    let bundles: BundleStore
    var sandboxes: [UInt32: Sandbox] = [:]
    var connections: [Int32: Descriptor] = [:]
    let epoll: Int32
    private let listener: Int32
    private let signals: Int32
    private var nextSandbox: UInt32 = 1
    /// Children that ended before crun told us that they are a sandbox's.
    private var earlyEnds: [pid_t: Int32] = [:]

    /// pid 1 of the worker's namespaces. Never returns.
    static func runWorker(settings: WardenSettings, listener: Int32) -> Never {
        do throws(SystemError) {
            try prepareMounts(settings)
            let warden = try Warden(settings: settings, listener: listener)
            try warden.loop()
        } catch {
            Journal.write("\(error)")
        }
        _exit(1)
    }

    private init(settings: WardenSettings, listener: Int32) throws(SystemError) {
        self.settings = settings
        self.listener = listener
        bundles = try BundleStore(path: settings.bundles)
        guard fchdir(bundles.folder.raw) == 0 else { throw .last("entering the bundles' folder") }
        epoll = try check(cl_epoll_create(), "making an epoll")
        signals = try check(cl_signal_descriptor([SIGCHLD], 1), "blocking signals")
        try check(cl_epoll_add(epoll, listener, Token.listener), "watching the socket")
        try check(cl_epoll_add(epoll, signals, Token.signals), "watching signals")
        var seed = timespec()
        clock_gettime(CLOCK_MONOTONIC, &seed)
        nextSandbox = UInt32(truncatingIfNeeded: seed.tv_nsec) & 0xffff | 1
    }

    /// A private view of the host: what is mounted in here never shows outside, and ends with the worker.
    private static func prepareMounts(_ settings: WardenSettings) throws(SystemError) {
        try check(cl_mount(nil, "/", nil, UInt(MS_REC | MS_SLAVE), nil), "making mounts private")
        // crun reads /proc with this namespace's pids.
        try check(cl_mount("proc", "/proc", "proc", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil), "mounting /proc")
        // crun 1.8 refuses a hybrid host while the v2 tree offers any controller; we use v1 there.
        if Cgroups().version == .v1, Files.exists("/sys/fs/cgroup/unified") { cl_unmount_detach("/sys/fs/cgroup/unified") }
        let sandboxes = settings.run + "/sb"
        try Files.makeDirectories(sandboxes, mode: 0o711)
        try check(cl_mount("casemate", sandboxes, "tmpfs", UInt(MS_NOSUID | MS_NODEV), "mode=711,size=64m"), "mounting \(sandboxes)")
        try Files.makeDirectories(sandboxes + "/.crun", mode: 0o700)
        // Copies of our own: the checkout may lie where only root can enter, with modes that only root can read.
        for package in ["casemate_runtime", "casemate_gate", "casemate_fetch", "casemate_checks"] {
            try copyShim(from: "\(settings.parts)/python/\(package)", to: "\(sandboxes)/.shim/\(package)")
        }
    }

    private static func copyShim(from source: String, to target: String) throws(SystemError) {
        try Files.makeDirectories(target, mode: 0o755)
        for name in Files.names(in: source) where name != "__pycache__" {
            let from = source + "/" + name
            if Files.names(in: from).isEmpty {
                guard name.hasSuffix(".py") else { continue }
                try Files.write(try Files.text(from), to: target + "/" + name, mode: 0o644)
                chmod(target + "/" + name, 0o644)
            } else {
                try copyShim(from: from, to: target + "/" + name)
            }
        }
    }

    private func loop() throws(SystemError) {
        var tokens = [UInt64](repeating: 0, count: 32)
        while true {
            let got = try check(cl_epoll_wait(epoll, &tokens, 32, -1), "waiting")
            for token in tokens.prefix(Int(got)) {
                switch token {
                case Token.listener: acceptConnection()
                case Token.signals:
                    while cl_signal_read(signals) > 0 {}
                    reap()
                default:
                    let number = UInt32(truncatingIfNeeded: token)
                    if token & Token.connection != 0 { receive(on: Int32(bitPattern: number)) }
                    if token & Token.attempts != 0, let sandbox = sandboxes[number] { attend(to: sandbox) }
                }
            }
        }
    }

    // MARK: Connections

    private func acceptConnection() {
        var uid: uid_t = 0
        let fd = cl_accept(listener, &uid)
        guard fd >= 0 else { return }
        let connection = Descriptor(fd)
        guard uid == settings.peerUID || uid == 0, connections.count < 8,
            cl_epoll_add(epoll, fd, Token.connection | UInt64(fd)) == 0
        else {
            Journal.write("refused a connection of uid \(uid)")
            return
        }
        connections[fd] = connection
    }

    private func receive(on fd: Int32) {
        guard connections[fd] != nil else { return }
        var packet = [UInt8](repeating: 0, count: wardenMessageLimit + 1)
        var none = 0
        let got = cl_receive(fd, &packet, packet.count, nil, &none, 1)
        if got == -EAGAIN { return }
        guard got > 0 else { return drop(fd) }
        do throws(WireError) {
            let message = try WardenMessage<Order>(decoding: Array(packet.prefix(Int(got))))
            obey(message.payload, request: message.request, from: fd)
        } catch {
            Journal.write("a packet that is no order (\(error)); connection closed")
            drop(fd)
        }
    }

    private func drop(_ fd: Int32) {
        cl_epoll_remove(epoll, fd)
        connections[fd] = nil
        for sandbox in sandboxes.values where sandbox.owner == fd { end(sandbox, then: .silence) }
    }

    func send(_ reply: Reply, request: UInt32, to fd: Int32, descriptors: [Int32] = []) {
        guard connections[fd] != nil else { return }
        let bytes = WardenMessage(request: request, payload: reply).encoded()
        // A server that doesn't read its replies loses the connection rather than stopping the warden.
        if cl_send(fd, bytes, bytes.count, descriptors, descriptors.count, 1) < 0 { drop(fd) }
    }

    func refuse(_ code: RefusalCode, _ detail: String, request: UInt32, to fd: Int32) {
        send(.refused(code, detail: detail), request: request, to: fd)
    }

    // MARK: Sandboxes

    func newSandboxID() -> UInt32 {
        defer { nextSandbox &+= 1 }
        return nextSandbox
    }

    /// Kills; what follows happens when the process is reaped.
    func end(_ sandbox: Sandbox, then ending: Sandbox.Ending) {
        switch sandbox.state {
        case .waiting(let pid), .specialised(let pid):
            sandbox.state = .ending(pid: pid, then: ending)
            sandbox.kill()
        case .starting(let crun, _, _):
            // crun's child may live already: let crun end by itself and look then.
            sandbox.state = .ending(pid: crun, then: ending)
        case .ending(let pid, _):
            if case .silence = ending { sandbox.state = .ending(pid: pid, then: .silence) }
        case .collecting: sandbox.kill()
        }
    }

    private func reap() {
        while true {
            var status: Int32 = 0
            let pid = cl_wait_pid(-1, WNOHANG, &status)
            guard pid > 0 else { return }
            if let sandbox = sandboxes.values.first(where: { $0.awaits(pid) }) {
                ended(pid, status: status, of: sandbox)
            } else {
                if earlyEnds.count > 4096 { earlyEnds.removeAll() }
                earlyEnds[pid] = status
            }
        }
    }

    private func ended(_ pid: pid_t, status: Int32, of sandbox: Sandbox) {
        switch sandbox.state {
        case .starting(_, let request, let handOver):
            guard status == 0, let inner = try? sandbox.initialPID() else {
                Journal.write("crun did not start a sandbox: \(sandbox.startLog)")
                forget(sandbox)
                return refuse(.failed, "the container runtime did not start a sandbox", request: request, to: sandbox.owner)
            }
            sandbox.state = .waiting(pid: inner)
            defer { handOver.staysOpen() }
            send(
                .created(sandbox: sandbox.id, hostUID: sandbox.hostUID), request: request, to: sandbox.owner,
                descriptors: [handOver.control.raw, handOver.output.raw, handOver.error.raw])
            if let early = earlyEnds.removeValue(forKey: inner) { return ended(inner, status: early, of: sandbox) }
            attend(to: sandbox)
        case .waiting, .specialised:
            report(sandbox, status: status)
            forget(sandbox)
        case .ending(_, let ending):
            // It was crun that ended, and its sandbox lives.
            if let inner = try? sandbox.initialPID(), inner != pid, Glibc.kill(inner, 0) == 0, earlyEnds[inner] == nil {
                sandbox.state = .ending(pid: inner, then: ending)
                return sandbox.kill()
            }
            conclude(sandbox, ending, status: status)
        case .collecting(_, let request, let result): finishCollecting(sandbox, request: request, result: result)
        }
    }

    private func conclude(_ sandbox: Sandbox, _ ending: Sandbox.Ending, status: Int32) {
        switch ending {
        case .report: report(sandbox, status: status)
        case .answer(let request):
            forget(sandbox)
            return send(.done, request: request, to: sandbox.owner)
        case .collect(let request, let maximumBytes, let maximumFiles):
            return startCollecting(sandbox, request: request, maximumBytes: maximumBytes, maximumFiles: maximumFiles)
        case .silence: break
        }
        forget(sandbox)
    }

    private func report(_ sandbox: Sandbox, status: Int32) {
        let reason: EndReason = sandbox.outOfMemoryKills > 0 ? .outOfMemory : status & 0x7f == 0 ? .exited : .killed
        send(.ended(sandbox: sandbox.id, reason: reason, status: status), request: 0, to: sandbox.owner)
    }

    func forget(_ sandbox: Sandbox) {
        sandboxes[sandbox.id] = nil
        sandbox.removeTraces()
    }
}

extension Sandbox {
    /// Whether this process's end is this sandbox's business.
    func awaits(_ pid: pid_t) -> Bool {
        switch state {
        case .starting(let awaited, _, _), .waiting(let awaited), .specialised(let awaited), .ending(let awaited, _),
            .collecting(let awaited, _, _):
            awaited == pid
        }
    }
}
