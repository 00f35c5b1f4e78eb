import CLinux
import CasemateLinux
import Glibc

/// The warden's outer process: holds the socket, runs the worker as pid 1 of a pid namespace, and tidies up after it.
///
/// Because every sandbox is the worker's descendant in that namespace, the kernel kills them all when the worker dies, however it dies.
/// Its mounts live in a namespace of their own and vanish likewise; what is left, cgroups and folders, is removed here.
public struct Monitor: ~Copyable {
    private let settings: WardenSettings
    private let lifeline: Int32?
    private let cgroups = Cgroups()

    /// - Parameter lifeline: when it reads end of file, the warden ends.
    public init(settings: WardenSettings, lifeline: Int32?) {
        self.settings = settings
        self.lifeline = lifeline
    }

    /// Runs until SIGTERM, SIGINT or the end of the lifeline. Answers the exit status.
    public consuming func run() throws(SystemError) -> Int32 {
        umask(0o022)
        try Files.makeDirectories(WardenSettings.runRoot, mode: 0o755)
        try Files.makeDirectories(WardenSettings.runRoot + "/uids", mode: 0o700)
        Self.sweepDeadInstances(cgroups)
        try Files.makeDirectories(settings.run, mode: 0o711)
        let lock = open(settings.run + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw .last("opening the instance's lock") }
        try check(cl_lock_exclusive(lock), "another warden runs as instance \(settings.instance)")
        // Who may connect is decided by SO_PEERCRED, so that the mode needs no group.
        let listener = try check(cl_seqpacket_listen(settings.socket, 0o666), "listening on \(settings.socket)")
        let signals = try check(cl_signal_descriptor([SIGTERM, SIGINT, SIGCHLD], 3), "blocking signals")
        defer {
            cgroups.group(settings.cgroup).remove()
            Files.removeTree(settings.run)
        }
        var failures = 0
        while true {
            let started = Self.seconds()
            guard let status = try workOnce(listener: listener, signals: signals) else { return 0 }
            cgroups.group(settings.cgroup).remove()
            failures = Self.seconds() - started > 60 ? 1 : failures + 1
            Journal.write("the worker ended with status \(status); starting another")
            guard failures < 20 else { return 1 }
            sleep(failures < 3 ? 0 : 1)
        }
    }

    /// One worker's life. Nil when the warden was told to end; else how the worker ended.
    private func workOnce(listener: Int32, signals: Int32) throws(SystemError) -> Int32? {
        var pidfd: Int32 = -1
        // Whose other end only the worker has: it is closed as soon as the worker begins to end. The end itself can be seen only when
        // all of its namespace is gone, and frozen processes go only when they are thawed (v1).
        var life: [Int32] = [-1, -1]
        try check(cl_pipe(&life), "making a pipe")
        let ends = Descriptor(life[0])
        defer { ends.staysOpen() }
        let worker = try check(cl_fork_worker(&pidfd), "starting the worker")
        if worker == 0 {
            close(life[0])
            cl_die_with_parent()
            if getppid() != 0 { _exit(1) }  // pid 1 of a new namespace has no parent in it
            close(signals)
            if let lifeline { close(lifeline) }
            Warden.runWorker(settings: settings, listener: listener)
        }
        close(life[1])
        defer { close(pidfd) }
        let epoll = try check(cl_epoll_create(), "making an epoll")
        defer { close(epoll) }
        try check(cl_epoll_add(epoll, signals, 1), "watching signals")
        if let lifeline { try check(cl_epoll_add(epoll, lifeline, 2), "watching the lifeline") }
        try check(cl_epoll_add(epoll, ends.raw, 3), "watching the worker")
        var tokens = [UInt64](repeating: 0, count: 4)
        while true {
            let got = try check(cl_epoll_wait(epoll, &tokens, 4, -1), "waiting")
            var end = false
            for token in tokens.prefix(Int(got)) {
                if token == 2 { end = true }
                if token == 3 { return awaitEnd(of: worker) }
                while token == 1 {
                    let signal = cl_signal_read(signals)
                    if signal < 0 { break }
                    if signal == SIGTERM || signal == SIGINT { end = true }
                }
            }
            if end {
                cl_pidfd_kill(pidfd, SIGKILL)
                _ = awaitEnd(of: worker)
                return nil
            }
            var status: Int32 = 0
            if cl_wait_pid(worker, WNOHANG, &status) == worker { return status }
        }
    }

    /// Waits for a worker that was killed or ends by itself; what is frozen in its namespace is thawed, and so dies.
    private func awaitEnd(of worker: pid_t) -> Int32 {
        var status: Int32 = 0
        while cl_wait_pid(worker, WNOHANG, &status) == 0 {
            cgroups.group(settings.cgroup).thawBelow()
            usleep(2000)
        }
        return status
    }

    /// Removes what instances left whose monitor is gone: whoever can take an instance's lock has outlived it.
    static func sweepDeadInstances(_ cgroups: Cgroups) {
        for name in Files.names(in: WardenSettings.runRoot) where WardenSettings.isInstance(name) {
            let folder = "\(WardenSettings.runRoot)/\(name)"
            let lock = open(folder + "/lock", O_RDWR | O_CLOEXEC)
            if lock >= 0 {
                defer { close(lock) }
                guard cl_lock_exclusive(lock) == 0 else { continue }
                let group = cgroups.group("\(WardenSettings.cgroups)/\(name)")
                group.thawBelow()
                // What was frozen takes a moment to die.
                for _ in 0..<200 where group.exists {
                    group.remove()
                    if group.exists { usleep(10_000) }
                }
                Files.removeTree(folder)
            }
        }
    }

    private static func seconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec
    }
}

/// The warden's own words, a line each on standard error. Never anything from a sandbox.
enum Journal {
    static func write(_ text: String) {
        let line = Array("casemate-warden: \(text)\n".utf8)
        _ = line.withUnsafeBytes { Glibc.write(2, $0.baseAddress, line.count) }
    }
}
