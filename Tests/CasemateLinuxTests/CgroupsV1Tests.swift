import Foundation
import Testing

@testable import CasemateLinux

@Suite("Control groups of a v1 or hybrid host")
struct CgroupsV1Tests {
    private static let group = "/casemate/blue/s7"

    /// A hybrid tree as Debian shows it with `systemd.unified_cgroup_hierarchy=0`, with one group of ours.
    private func withTree<R>(memory: String = "9223372036854771712\n", hasSwapAccounting: Bool = true, _ body: (String) throws -> R) throws
        -> R
    {
        try withFolder { root throws in
            for controller in ["memory", "pids", "cpu,cpuacct", "unified", "systemd"] {
                try put("", at: "\(root)/\(controller)/cgroup.procs")
            }
            try FileManager.default.createSymbolicLink(atPath: root + "/cpu", withDestinationPath: "cpu,cpuacct")
            let own = "\(root)/memory\(Self.group)"
            try put(memory, at: own + "/memory.limit_in_bytes")
            if hasSwapAccounting { try put(memory, at: own + "/memory.memsw.limit_in_bytes") }
            try put("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", at: own + "/memory.oom_control")
            try put("-1\n", at: "\(root)/cpu\(Self.group)/cpu.cfs_quota_us")
            try put("max\n", at: "\(root)/pids\(Self.group)/pids.max")
            return try body(root)
        }
    }

    /// The number that a write left at the head of a file; cgroup files take a write whole.
    private func number(_ path: String) throws -> String { String(try text(at: path).prefix { $0.isNumber }) }

    @Test("each limit goes to its own hierarchy")
    func limits() throws {
        try withTree(memory: "9\n") { root throws in
            let cgroups = Cgroups(root: root)
            #expect(cgroups.version == .v1)
            try cgroups.group(Self.group).limit(memoryInBytes: 268_435_456, cpuInMillicores: 1500, pids: 64)
            #expect(try number("\(root)/memory\(Self.group)/memory.limit_in_bytes") == "268435456")
            #expect(try number("\(root)/memory\(Self.group)/memory.memsw.limit_in_bytes") == "268435456")
            #expect(try number("\(root)/cpu\(Self.group)/cpu.cfs_quota_us") == "150000")
            #expect(try text(at: "\(root)/pids\(Self.group)/pids.max").hasPrefix("64"))
        }
    }

    /// Makes the file of memory and swap one that can't be written, so that only what comes before it happens.
    private func blockSwap(_ root: String) throws -> String {
        let both = "\(root)/memory\(Self.group)/memory.memsw.limit_in_bytes"
        try FileManager.default.removeItem(atPath: both)
        try FileManager.default.createDirectory(atPath: both, withIntermediateDirectories: false)
        return "\(root)/memory\(Self.group)/memory.limit_in_bytes"
    }

    @Test("raising sets memory and swap before memory")
    func raising() throws {
        try withTree(memory: "1048576") { root throws in
            let memory = try blockSwap(root)
            #expect(throws: SystemError.self) {
                try Cgroups(root: root).group(Self.group).limit(memoryInBytes: 2_097_152, cpuInMillicores: 1000, pids: 64)
            }
            #expect(try text(at: memory) == "1048576")
        }
    }

    @Test("lowering sets memory before memory and swap")
    func lowering() throws {
        try withTree(memory: "2097152") { root throws in
            let memory = try blockSwap(root)
            #expect(throws: SystemError.self) {
                try Cgroups(root: root).group(Self.group).limit(memoryInBytes: 1_048_576, cpuInMillicores: 1000, pids: 64)
            }
            #expect(try text(at: memory) == "1048576")
        }
    }

    @Test("a kernel without swap accounting gets the memory limit alone")
    func noSwapAccounting() throws {
        try withTree(memory: "9", hasSwapAccounting: false) { root throws in
            try Cgroups(root: root).group(Self.group).limit(memoryInBytes: 1_048_576, cpuInMillicores: 1000, pids: 64)
            #expect(try number("\(root)/memory\(Self.group)/memory.limit_in_bytes") == "1048576")
            #expect(!Files.exists("\(root)/memory\(Self.group)/memory.memsw.limit_in_bytes"))
        }
    }

    @Test("kills for want of memory are counted, and other lines are not")
    func outOfMemory() throws {
        try withTree { #expect(Cgroups(root: $0).group(Self.group).outOfMemoryKills == 4) }
        try withTree { root throws in
            try put("oom_kill_disable 1\nunder_oom 1\n", at: "\(root)/memory\(Self.group)/memory.oom_control")
            #expect(Cgroups(root: root).group(Self.group).outOfMemoryKills == 0)
        }
    }

    @Test("controllers that are not mounted are named, and the unified tree offers none")
    func missing() throws {
        try withTree { #expect(Cgroups(root: $0).missingControllers == []) }
        try withTree { root throws in
            try FileManager.default.removeItem(atPath: root + "/pids")
            #expect(Cgroups(root: root).missingControllers == ["pids"])
            #expect(!Cgroups(root: root).hierarchies.contains(root + "/unified"))
        }
        try withFolder { #expect(Cgroups(root: $0).missingControllers == ["memory", "pids", "cpu"]) }
    }

    @Test("removing a group removes it in every hierarchy")
    func remove() throws {
        try withFolder { root throws in
            for controller in ["memory", "pids", "cpu"] {
                try put("", at: "\(root)/\(controller)/cgroup.procs")
                try FileManager.default.createDirectory(atPath: "\(root)/\(controller)/casemate/blue/s1", withIntermediateDirectories: true)
            }
            Cgroups(root: root).group("/casemate/blue").remove()
            for controller in ["memory", "pids", "cpu"] {
                #expect(!Files.exists("\(root)/\(controller)/casemate/blue"))
                #expect(Files.exists("\(root)/\(controller)/casemate"))
            }
        }
    }

    @Test("a group is made in every hierarchy, also where none of ours was yet")
    func make() throws {
        try withTree { root throws in
            let groups = Cgroups(root: root)
            #expect(!Files.exists("\(root)/systemd/casemate"))
            try groups.group("/casemate/green").make()
            try groups.group("/casemate/green").make()
            for hierarchy in ["memory", "pids", "cpu,cpuacct", "systemd"] { #expect(Files.exists("\(root)/\(hierarchy)/casemate/green")) }
            #expect(!Files.exists("\(root)/unified/casemate"))
        }
    }
}
