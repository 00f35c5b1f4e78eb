import Glibc

/// The host's control groups: one tree (v2), or one per controller (v1 and hybrid).
///
/// The layout is read once; a test hands in a recorded tree by another `root`.
public struct Cgroups: Sendable {
    public enum Version: UInt8, Sendable { case v1 = 1, v2 = 2 }

    public let root: String
    public let version: Version
    /// v1: the folders of all hierarchies, each a tree of its own.
    public let hierarchies: [String]

    public init(root: String = "/sys/fs/cgroup") {
        self.root = root
        if Files.exists(root + "/cgroup.controllers") {
            version = .v2
            hierarchies = [root]
        } else {
            version = .v1
            // A hybrid host's v2 mount has no controller of use to us.
            hierarchies = Files.names(in: root).filter { $0 != "unified" && Files.exists("\(root)/\($0)/cgroup.procs") }.map {
                "\(root)/\($0)"
            }
        }
    }

    /// Controllers that limits need and the host doesn't offer; empty on a fit host.
    public var missingControllers: [String] {
        let wanted = ["memory", "pids", "cpu"]
        switch version {
        case .v1: return wanted.filter { controller in !hierarchies.contains("\(root)/\(controller)") }
        case .v2:
            let offered = ((try? Files.text(root + "/cgroup.controllers")) ?? "").split { $0 == " " || $0 == "\n" }.map(String.init)
            return wanted.filter { !offered.contains($0) }
        }
    }

    /// The group named `path` ("/casemate/…"), which may not exist yet.
    public func group(_ path: String) -> Cgroup { Cgroup(cgroups: self, path: path) }
}

/// One group, in every hierarchy that has it.
public struct Cgroup: Sendable {
    let cgroups: Cgroups
    public let path: String

    private func file(_ controller: String, _ name: String) -> String {
        switch cgroups.version {
        case .v1: "\(cgroups.root)/\(controller)\(path)/\(name)"
        case .v2: "\(cgroups.root)\(path)/\(name)"
        }
    }

    /// How much CPU the group gets beside others: `low` for what nobody waits for.
    public func weigh(low: Bool) throws(SystemError) {
        switch cgroups.version {
        case .v1: try Files.set(file("cpu", "cpu.shares"), to: low ? "64" : "1024")
        case .v2: try Files.set(file("", "cpu.weight"), to: low ? "6" : "100")
        }
    }

    /// Memory (swap is counted in, so there is none), CPU time per 100 ms, number of tasks.
    public func limit(memoryInBytes: UInt64, cpuInMillicores: UInt32, pids: UInt32) throws(SystemError) {
        switch cgroups.version {
        case .v1:
            let memory = file("memory", "memory.limit_in_bytes")
            let both = file("memory", "memory.memsw.limit_in_bytes")
            // memory + swap may never be below memory: raise the outer one first, lower it last.
            let now = UInt64((try Files.text(memory)).prefix { $0.isNumber }) ?? .max
            if Files.exists(both) {
                for target in now < memoryInBytes ? [both, memory] : [memory, both] { try Files.set(target, to: "\(memoryInBytes)") }
            } else {
                try Files.set(memory, to: "\(memoryInBytes)")
            }
            try Files.set(file("cpu", "cpu.cfs_quota_us"), to: "\(UInt64(cpuInMillicores) * 100)")
            try Files.set(file("pids", "pids.max"), to: "\(pids)")
        case .v2:
            try Files.set(file("", "memory.max"), to: "\(memoryInBytes)")
            try Files.set(file("", "memory.swap.max"), to: "0")
            try Files.set(file("", "cpu.max"), to: "\(UInt64(cpuInMillicores) * 100) 100000")
            try Files.set(file("", "pids.max"), to: "\(pids)")
        }
    }

    /// How often the kernel killed in this group for want of memory.
    public var outOfMemoryKills: Int {
        Self.value("oom_kill", in: cgroups.version == .v1 ? file("memory", "memory.oom_control") : file("", "memory.events"))
    }

    /// Stops or goes on with all processes of the group. On v1 a frozen process dies of SIGKILL only when it is thawed.
    public func freeze(_ isFrozen: Bool) throws(SystemError) {
        switch cgroups.version {
        case .v1: try Files.set(file("freezer", "freezer.state"), to: isFrozen ? "FROZEN" : "THAWED")
        case .v2: try Files.set(file("", "cgroup.freeze"), to: isFrozen ? "1" : "0")
        }
    }

    /// Lets every group right below this one go on, so that what is killed can die.
    public func thawBelow() {
        let (folder, name, word) =
            switch cgroups.version {
            case .v1: ("\(cgroups.root)/freezer\(path)", "freezer.state", "THAWED")
            case .v2: ("\(cgroups.root)\(path)", "cgroup.freeze", "0")
            }
        for inner in Files.names(in: folder) where Files.exists("\(folder)/\(inner)/\(name)") {
            try? Files.set("\(folder)/\(inner)/\(name)", to: word)
        }
    }

    /// In bytes.
    public var memoryInUse: UInt64 {
        let name = cgroups.version == .v1 ? file("memory", "memory.usage_in_bytes") : file("", "memory.current")
        return (try? Files.text(name)).flatMap { UInt64($0.prefix { $0.isNumber }) } ?? 0
    }

    /// How often a process was refused for their number.
    public var refusedProcesses: Int { Self.value("max", in: file("pids", "pids.events")) }

    /// How long the CPU limit held the group back, in milliseconds.
    public var throttledInMilliseconds: Int {
        switch cgroups.version {
        case .v1: Self.value("throttled_time", in: file("cpu", "cpu.stat")) / 1_000_000
        case .v2: Self.value("throttled_usec", in: file("", "cpu.stat")) / 1000
        }
    }

    /// The number after `key` in a file of lines "key number"; 0 without one.
    private static func value(_ key: String, in file: String) -> Int {
        guard let text = try? Files.text(file) else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix(key + " ") { return Int(line.dropFirst(key.utf8.count + 1)) ?? 0 }
        return 0
    }

    /// Makes the group in every hierarchy that has none.
    public func make() throws(SystemError) {
        for hierarchy in cgroups.hierarchies { try Files.makeDirectories(hierarchy + path, mode: 0o755) }
    }

    public var exists: Bool { cgroups.hierarchies.contains { Files.exists($0 + path) } }

    /// Removes the group and those below it, when no process is left in them.
    public func remove() {
        for hierarchy in cgroups.hierarchies { Self.removeFolders(hierarchy + path) }
    }

    /// rmdir from the leaves up: a group's files can't be unlinked and need not be.
    private static func removeFolders(_ path: String) {
        if rmdir(path) == 0 || errno == ENOENT { return }
        for name in Files.names(in: path) {
            var found = stat()
            if lstat(path + "/" + name, &found) == 0, found.st_mode & S_IFMT == S_IFDIR { removeFolders(path + "/" + name) }
        }
        rmdir(path)
    }
}
