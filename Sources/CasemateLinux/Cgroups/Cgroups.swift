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
        let name = cgroups.version == .v1 ? file("memory", "memory.oom_control") : file("", "memory.events")
        guard let text = try? Files.text(name) else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix("oom_kill ") { return Int(line.dropFirst("oom_kill ".count)) ?? 0 }
        return 0
    }

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
