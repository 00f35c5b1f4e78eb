import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// One container of the warden's: its folder, mounts, cgroup, uids and process, from crun's start to the last trace.
final class Sandbox {
    /// States carry only what exists in them.
    enum State {
        /// crun runs; its answer is awaited.
        case starting(crun: pid_t, request: UInt32, handOver: HandOver)
        /// The interpreter waits, nothing of a user is in it.
        case waiting(pid: pid_t)
        case specialised(pid: pid_t)
        /// Killed; once reaped, `then` happens.
        case ending(pid: pid_t, then: Ending)
        /// Reaped; its output folder is being copied.
        case collecting(ingest: pid_t, request: UInt32, result: Descriptor)
    }

    enum Ending {
        case report
        case answer(request: UInt32)
        case collect(request: UInt32, maximumBytes: UInt64, maximumFiles: UInt32)
        case silence
    }

    /// What the server gets when the sandbox is up.
    struct HandOver {
        let control, output, error: Descriptor

        func staysOpen() {
            control.staysOpen()
            output.staysOpen()
            error.staysOpen()
        }
    }

    let id: UInt32
    let purpose: SandboxPurpose
    let owner: Int32
    var state: State
    var hasResolver = false
    /// A bundle is attached; there is one at most.
    private(set) var showsBundle = false
    /// Opened in its network, the resolver's apart.
    var listeners = 0
    static let mostListeners = 1024
    private var isFrozen = false
    let attempts: Attempts
    private let settings: WardenSettings
    private let startLimits: SandboxLimits
    private let cgroup: Cgroup
    private let lease: UIDLease

    var hostUID: UInt32 { lease.hostUID }
    private var name: String { "s\(id)" }
    private var folder: String { "\(settings.run)/sb/\(name)" }
    private var crunRoot: String { "\(settings.run)/sb/.crun" }
    var outputFolder: String { folder + "/out" }

    /// Makes folder and mounts and starts crun; the caller waits for its end.
    init(
        id: UInt32, owner: Int32, request: UInt32, profile name: String, purpose: SandboxPurpose, limits: SandboxLimits,
        settings: WardenSettings, cgroups: Cgroups
    ) throws(SystemError) {
        self.id = id
        self.owner = owner
        self.purpose = purpose
        self.settings = settings
        startLimits = limits
        lease = try UIDLease(startingAt: id % UIDLease.count)
        cgroup = cgroups.group("\(settings.cgroup)/s\(id)")
        let profile = try Profile(name: name, purpose: SandboxPurposeName(purpose), settings: settings)
        let folder = "\(settings.run)/sb/s\(id)"
        let insideUID = lease.hostUID + 1000

        try Files.makeDirectories(folder + "/fn", mode: 0o755)
        // A propagation group of its own: what is mounted here shows in this sandbox's /fn and nowhere else.
        try check(cl_mount(folder + "/fn", folder + "/fn", nil, UInt(MS_BIND), nil), "binding the function's folder")
        try check(cl_mount(nil, folder + "/fn", nil, UInt(MS_PRIVATE), nil), "making the function's folder private")
        try check(cl_mount(nil, folder + "/fn", nil, UInt(MS_SHARED), nil), "making the function's folder shared")
        if purpose == .build {
            try Files.makeDirectories(folder + "/out", mode: 0o755)
            let options = "size=\(limits.tmpInBytes),nr_inodes=65536,mode=700,uid=\(insideUID),gid=\(insideUID)"
            try check(cl_mount("out", folder + "/out", "tmpfs", UInt(MS_NOSUID | MS_NODEV), options), "making the output folder")
        }
        attempts = try Attempts(path: folder + "/notify")
        let configuration = try profile.configuration([
            ("ROOTFS", profile.rootfs), ("FN", folder + "/fn"), ("OUT", folder + "/out"), ("SHIM", settings.run + "/sb/.shim"),
            ("TOOLS", settings.tools), ("UID", "\(lease.hostUID)"), ("CGROUP", "\(settings.cgroup)/s\(id)"),
            ("MEMORY", "\(limits.memoryInBytes)"), ("PIDS", "\(limits.pids)"), ("CPU", "\(UInt64(limits.cpuInMillicores) * 100)"),
            ("TMP", "\(limits.tmpInBytes)"), ("NOTIFY", folder + "/notify"),
        ])
        try Files.write(configuration, to: folder + "/config.json")

        var control: [Int32] = [-1, -1]
        var output: [Int32] = [-1, -1]
        var error: [Int32] = [-1, -1]
        try check(cl_socketpair_stream(&control), "making the control socket")
        let inside = Descriptor(control[1])
        let handControl = Descriptor(control[0])
        try check(cl_pipe(&output), "making a pipe")
        let insideOutput = Descriptor(output[1])
        let handOutput = Descriptor(output[0])
        try check(cl_pipe(&error), "making a pipe")
        let insideError = Descriptor(error[1])
        let handError = Descriptor(error[0])
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { throw .last("opening /dev/null") }
        defer { close(null) }

        defer {
            inside.staysOpen()
            insideOutput.staysOpen()
            insideError.staysOpen()
        }
        guard let crun = findProgram("crun") else { throw SystemError("looking for crun", errno: ENOENT) }
        let pid = try spawn(
            [
                crun, "--root", "\(settings.run)/sb/.crun", "--cgroup-manager=cgroupfs", "--log", folder + "/crun.log", "run", "-d",
                "--preserve-fds", "1", "--pid-file", folder + "/pid", "--bundle", folder, "s\(id)",
            ],
            descriptors: [null, insideOutput.raw, insideError.raw, inside.raw])
        state = .starting(
            crun: pid, request: request, handOver: HandOver(control: handControl, output: handOutput, error: handError))
    }

    /// The interpreter's pid in the worker's namespace, once crun has ended well.
    func initialPID() throws(SystemError) -> pid_t {
        let text = try Files.text(folder + "/pid")
        guard let pid = pid_t(text.filter { $0.isNumber }) else { throw SystemError("reading the sandbox's pid", errno: EINVAL) }
        return pid
    }

    /// What crun said, for the operator; empty when it said nothing.
    var startLog: String { ((try? Files.text(folder + "/crun.log")) ?? "").split(separator: "\n").last.map(String.init) ?? "" }

    /// Attaches a bundle, read-only, where code of a user's does not run: it keeps the limits that it was made with.
    func show(bundleAt name: String) throws(SystemError) {
        // The one before goes first: what still has it open keeps that alone.
        if showsBundle { try check(cl_unmount_detach(folder + "/fn"), "taking a bundle away") }
        showsBundle = false
        let tree = Descriptor(try check(cl_overlay_readonly(name), "opening bundle \(name)"))
        defer { tree.staysOpen() }
        try check(cl_attach_tree(tree.raw, folder + "/fn"), "attaching bundle \(name)")
        showsBundle = true
    }

    /// Sets the final limits and attaches the bundle, read-only. The store is the worker's current folder.
    func attach(bundleAt name: String, limits: SandboxLimits, pid: pid_t) throws(SystemError) {
        // Most functions have the limits that their sandbox was made with.
        let made = startLimits
        if (limits.memoryInBytes, limits.cpuInMillicores, limits.pids) != (made.memoryInBytes, made.cpuInMillicores, made.pids) {
            try cgroup.limit(memoryInBytes: limits.memoryInBytes, cpuInMillicores: limits.cpuInMillicores, pids: limits.pids)
        }
        try cgroup.weigh(low: false)
        if limits.tmpInBytes != made.tmpInBytes {
            // Nothing of a user has run in there yet, so that /tmp is still the mount the template made.
            try check(cl_reconfigure("/proc/\(pid)/root/tmp", "size", "\(limits.tmpInBytes)"), "setting the size of /tmp")
        }
        // A memfd is not in /tmp; this bounds it (hard limits can be lowered, never raised again).
        try check(cl_limit_file_size(pid, limits.tmpInBytes), "limiting file sizes")
        try show(bundleAt: name)
    }

    /// SIGKILL to pid 1 of its namespace: the kernel kills the rest. The pid is ours until we reap it.
    func kill() {
        switch state {
        case .starting(let pid, _, _): Glibc.kill(pid, SIGKILL)
        case .waiting(let pid), .specialised(let pid), .ending(let pid, _): Glibc.kill(pid, SIGKILL)
        case .collecting(let pid, _, _): Glibc.kill(pid, SIGKILL)
        }
        // A frozen process takes the signal only when it goes on (v1).
        if isFrozen { try? thaw() }
    }

    /// Stops all of its processes. Answers the memory that they hold, in bytes.
    func freeze() throws(SystemError) -> UInt64 {
        try cgroup.freeze(true)
        isFrozen = true
        return cgroup.memoryInUse
    }

    func thaw() throws(SystemError) {
        try cgroup.freeze(false)
        isFrozen = false
    }

    var counts: SandboxCounts {
        SandboxCounts(
            outOfMemory: UInt32(clamping: cgroup.outOfMemoryKills), pids: UInt32(clamping: cgroup.refusedProcesses),
            throttledInMilliseconds: UInt64(clamping: cgroup.throttledInMilliseconds))
    }

    var outOfMemoryKills: Int { cgroup.outOfMemoryKills }

    /// Removes what crun and we made. The processes must be gone.
    func removeTraces() {
        attempts.close()
        cgroup.remove()
        Files.removeTree(crunRoot + "/" + name)
        // The bundle above the binding, then the binding.
        for _ in 0..<3 where cl_unmount_detach(folder + "/fn") != 0 { break }
        if purpose == .build { cl_unmount_detach(outputFolder) }
        for file in ["config.json", "crun.log", "pid"] { unlink("\(folder)/\(file)") }
        for inner in ["fn", "out"] { rmdir("\(folder)/\(inner)") }
        rmdir(folder)
    }
}
