import Foundation
import Testing

@testable import CasemateLinux

@Suite("Control groups of a v2 host")
struct CgroupsV2Tests {
    /// A tree as Linux 6 shows it, with one group of ours.
    private func withTree<R>(controllers: String = "cpuset cpu io memory hugetlb pids rdma\n", _ body: (String) throws -> R) throws -> R {
        try withFolder { root throws in
            try put(controllers, at: root + "/cgroup.controllers")
            try put("", at: root + "/cgroup.procs")
            let group = root + "/casemate/blue/s7"
            for (name, value) in [
                ("memory.max", "max\n"), ("memory.swap.max", "max\n"), ("cpu.max", "max 100000\n"), ("pids.max", "max\n"),
                ("memory.events", "low 0\nhigh 0\nmax 31\noom 3\noom_kill 2\noom_group_kill 9\n"),
            ] { try put(value, at: "\(group)/\(name)") }
            return try body(root)
        }
    }

    @Test("the four limits are written, and swap is none")
    func limits() throws {
        try withTree { root throws in
            let cgroups = Cgroups(root: root)
            #expect(cgroups.version == .v2)
            #expect(cgroups.hierarchies == [root])
            try cgroups.group("/casemate/blue/s7").limit(memoryInBytes: 268_435_456, cpuInMillicores: 1500, pids: 64)
            let group = root + "/casemate/blue/s7"
            #expect(try text(at: group + "/memory.max").hasPrefix("268435456"))
            #expect(try text(at: group + "/memory.swap.max").hasPrefix("0"))
            #expect(try text(at: group + "/cpu.max").hasPrefix("150000 100000"))
            #expect(try text(at: group + "/pids.max").hasPrefix("64"))
        }
    }

    @Test(
        "a limit that can't be set is an error, not a sandbox without it",
        arguments: ["memory.max", "memory.swap.max", "cpu.max", "pids.max"])
    func missingFile(name: String) throws {
        try withTree { root throws in
            try FileManager.default.removeItem(atPath: "\(root)/casemate/blue/s7/\(name)")
            #expect(throws: SystemError.self) {
                try Cgroups(root: root).group("/casemate/blue/s7").limit(memoryInBytes: 1 << 28, cpuInMillicores: 1000, pids: 64)
            }
        }
    }

    @Test("kills for want of memory are counted, and other lines are not")
    func outOfMemory() throws {
        try withTree { root throws in
            let cgroups = Cgroups(root: root)
            #expect(cgroups.group("/casemate/blue/s7").outOfMemoryKills == 2)
            try put("low 0\noom 5\noom_group_kill 4\n", at: root + "/casemate/blue/s7/memory.events")
            #expect(cgroups.group("/casemate/blue/s7").outOfMemoryKills == 0)
            #expect(cgroups.group("/casemate/blue/gone").outOfMemoryKills == 0)
        }
    }

    @Test("controllers that the host does not offer are named")
    func missing() throws {
        try withTree { #expect(Cgroups(root: $0).missingControllers == []) }
        try withTree(controllers: "cpuset cpuacct io memory\n") { #expect(Cgroups(root: $0).missingControllers == ["pids", "cpu"]) }
        try withTree(controllers: "") { #expect(Cgroups(root: $0).missingControllers == ["memory", "pids", "cpu"]) }
    }

    @Test("removing a group takes those below it and leaves its neighbours")
    func remove() throws {
        try withFolder { root throws in
            try put("cpu memory pids\n", at: root + "/cgroup.controllers")
            for path in ["/casemate/blue/s1/inner/deep", "/casemate/blue/s2", "/casemate/green"] {
                try FileManager.default.createDirectory(atPath: root + path, withIntermediateDirectories: true)
            }
            Cgroups(root: root).group("/casemate/blue").remove()
            #expect(!Files.exists(root + "/casemate/blue"))
            #expect(Files.exists(root + "/casemate/green"))
        }
    }
}
