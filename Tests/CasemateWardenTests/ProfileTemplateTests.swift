import CasemateLinux
import CasemateWire
import Foundation
import Testing

@testable import CasemateWarden

/// What every sandbox is made from: the templates in runtimes/profiles, filled in as the warden does.
@Suite("Templates of sandboxes")
struct ProfileTemplateTests {
    static let purposes = ["run", "build", "scan", "fetch", "check"]
    private static let parts = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("runtimes").path

    private func configuration(_ purpose: String) throws -> [String: Any] {
        try withFolder { folder throws in
            try FileManager.default.createDirectory(atPath: folder + "/python3.11-1", withIntermediateDirectories: true)
            #expect(symlink("python3.11-1", folder + "/python3.11") == 0)
            let settings = WardenSettings(instance: "t", store: folder, runtimes: folder, parts: Self.parts, tools: "/t", peerUID: 1)
            let profile = try Profile(name: "python3.11", purpose: try #require(SandboxPurposeName(rawValue: purpose)), settings: settings)
            let text = try profile.configuration([
                ("ROOTFS", "/roots/python3.11-1"), ("FN", "/run/fn"), ("OUT", "/run/out"), ("SHIM", "/run/shim"), ("TOOLS", "/opt/t"),
                ("UID", "1879048192"), ("CGROUP", "/casemate/t/s1"), ("MEMORY", "268435456"), ("PIDS", "64"), ("CPU", "100000"),
                ("TMP", "67108864"), ("NOTIFY", "/run/sb/s1/notify"),
            ])
            #expect(!text.contains("@"))
            return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        }
    }

    private func object(_ parent: [String: Any], _ path: String...) throws -> [String: Any] {
        try path.reduce(parent) { try #require($0[$1] as? [String: Any]) }
    }

    private func objects(_ parent: [String: Any], _ name: String) throws -> [[String: Any]] {
        try #require(parent[name] as? [[String: Any]])
    }

    @Test("no privilege can be gained: no new ones, no capability, an ordinary user, no terminal", arguments: purposes)
    func privileges(purpose: String) throws {
        let process = try object(try configuration(purpose), "process")
        #expect(process["noNewPrivileges"] as? Bool == true)
        #expect(process["terminal"] as? Bool != true)
        let capabilities = try object(process, "capabilities")
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            #expect((capabilities[set] as? [String])?.isEmpty == true, "\(set)")
        }
        let user = try object(process, "user")
        #expect(try #require(user["uid"] as? Int) >= 1000)
        #expect(try #require(user["gid"] as? Int) >= 1000)
        #expect((user["additionalGids"] as? [Int])?.isEmpty == true)
    }

    @Test("the root file system is read-only", arguments: purposes)
    func root(purpose: String) throws {
        let root = try object(try configuration(purpose), "root")
        #expect(root["readonly"] as? Bool == true)
        #expect(root["path"] as? String == "/roots/python3.11-1")
    }

    @Test("every kind of namespace is the sandbox's own, made new", arguments: purposes)
    func namespaces(purpose: String) throws {
        let namespaces = try objects(try object(try configuration(purpose), "linux"), "namespaces")
        #expect(Set(namespaces.compactMap { $0["type"] as? String }) == ["pid", "mount", "ipc", "uts", "cgroup", "network", "user"])
        // A path would be a namespace that exists already.
        #expect(namespaces.allSatisfy { $0["path"] == nil })
    }

    @Test("host root is no user inside, and each sandbox's ids are 65,536 of its own", arguments: purposes)
    func mappings(purpose: String) throws {
        let linux = try object(try configuration(purpose), "linux")
        for name in ["uidMappings", "gidMappings"] {
            let mappings = try objects(linux, name)
            #expect(mappings.count == 1)
            #expect(mappings[0]["hostID"] as? Int == 1_879_048_192)
            #expect(mappings[0]["containerID"] as? Int == 0)
            #expect(mappings[0]["size"] as? Int == 65_536)
        }
    }

    @Test("/dev is an empty tmpfs, so that there is no device", arguments: purposes)
    func devices(purpose: String) throws {
        let configuration = try configuration(purpose)
        let dev = try #require(try objects(configuration, "mounts").first { $0["destination"] as? String == "/dev" })
        #expect(dev["type"] as? String == "tmpfs")
        let rules = try objects(try object(configuration, "linux", "resources"), "devices")
        #expect(rules.allSatisfy { $0["allow"] as? Bool == false })
        #expect(rules.first?["access"] as? String == "rwm")
        #expect(try object(configuration, "linux")["devices"] == nil)
    }

    @Test("nothing of the host's can be written, but for a build's output", arguments: purposes)
    func mounts(purpose: String) throws {
        let mounts = try objects(try configuration(purpose), "mounts")
        for mount in mounts {
            let options = Set(try #require(mount["options"] as? [String]))
            let destination = try #require(mount["destination"] as? String)
            #expect(options.contains("nosuid"), "\(destination)")
            #expect(options.isDisjoint(with: ["suid", "dev"]), "\(destination)")
            switch mount["type"] as? String {
            case "bind":
                #expect(options.contains("nodev"), "\(destination)")
                if destination == "/out" {
                    #expect(purpose == "build")
                } else {
                    #expect(options.contains("ro") && !options.contains("rw"), "\(destination)")
                }
            case "tmpfs":
                #expect(options.contains { $0.hasPrefix("size=") } && options.contains { $0.hasPrefix("nr_inodes=") }, "\(destination)")
            case "proc": #expect(destination == "/proc")
            default: Issue.record("a mount of another kind at \(destination)")
            }
        }
        let destinations = mounts.compactMap { $0["destination"] as? String }
        #expect(Set(destinations).count == destinations.count)
        #expect(destinations.contains("/fn"))
        #expect(destinations.contains("/out") == (purpose == "build"))
    }

    @Test("memory, swap, tasks and processor time are limited", arguments: purposes)
    func resources(purpose: String) throws {
        let resources = try object(try configuration(purpose), "linux", "resources")
        #expect(try object(resources, "memory")["limit"] as? Int == 268_435_456)
        #expect(try object(resources, "memory")["swap"] as? Int == 268_435_456)
        #expect(try object(resources, "pids")["limit"] as? Int == 64)
        #expect(try object(resources, "cpu")["quota"] as? Int == 100_000)
        #expect(try object(resources, "cpu")["period"] as? Int == 100_000)
        #expect(try object(try configuration(purpose), "linux")["cgroupsPath"] as? String == "/casemate/t/s1")
    }

    @Test("a core dump, locked memory and message queues are not to be had", arguments: purposes)
    func rlimits(purpose: String) throws {
        let limits = try objects(try object(try configuration(purpose), "process"), "rlimits")
        for name in ["RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE"] {
            let limit = try #require(limits.first { $0["type"] as? String == name })
            #expect(limit["hard"] as? Int == 0 && limit["soft"] as? Int == 0, "\(name)")
        }
    }

    @Test("a system call that is not on the list fails, and those that open the kernel are not on it", arguments: purposes)
    func seccomp(purpose: String) throws {
        let seccomp = try object(try configuration(purpose), "linux", "seccomp")
        #expect(seccomp["defaultAction"] as? String == "SCMP_ACT_ERRNO")
        let rules = try objects(seccomp, "syscalls")
        for rule in rules { #expect(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY"].contains(rule["action"] as? String)) }
        let allowed = Set(
            rules.filter { $0["action"] as? String == "SCMP_ACT_ALLOW" && $0["args"] == nil }.flatMap { $0["names"] as? [String] ?? [] })
        let forbidden: Set<String> = [
            "mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "ptrace", "bpf", "perf_event_open", "userfaultfd",
            "io_uring_setup",
            "keyctl", "add_key", "init_module", "finit_module", "kexec_load", "reboot", "open_by_handle_at", "process_vm_writev", "clone3",
            "clone", "socket", "ioctl", "prctl", "personality", "setuid", "setgid", "capset", "fsopen", "move_mount", "open_tree",
            "mount_setattr",
        ]
        #expect(allowed.isDisjoint(with: forbidden))
        #expect(allowed.isSuperset(of: ["read", "write", "execve", "exit_group", "futex", "mmap"]))
    }

    @Test("the calls that are reported are those that have a name, and nobody but the warden hears of them", arguments: purposes)
    func reported(purpose: String) throws {
        let seccomp = try object(try configuration(purpose), "linux", "seccomp")
        let rules = try objects(seccomp, "syscalls").filter { $0["action"] as? String == "SCMP_ACT_NOTIFY" }
        #expect(rules.count == 1 && rules[0]["args"] == nil)
        #expect(Set(try #require(rules[0]["names"] as? [String])) == Set(HostileCall.names.values))
        #expect(seccomp["listenerPath"] as? String == "/run/sb/s1/notify")
    }

    @Test("sockets are local, TCP or UDP, and clone makes no namespace", arguments: purposes)
    func arguments(purpose: String) throws {
        let rules = try objects(try object(try configuration(purpose), "linux", "seccomp"), "syscalls")
        func allowed(_ name: String) -> [[[String: Any]]] {
            rules.filter { $0["action"] as? String == "SCMP_ACT_ALLOW" && ($0["names"] as? [String])?.contains(name) == true }
                .map { $0["args"] as? [[String: Any]] ?? [] }
        }
        for arguments in allowed("socket") {
            let family = try #require(arguments.first { $0["index"] as? Int == 0 })
            #expect(family["op"] as? String == "SCMP_CMP_EQ")
            let number = try #require(family["value"] as? Int)
            #expect([1, 2, 10].contains(number))
            if number != 1 {
                let kind = try #require(arguments.first { $0["index"] as? Int == 2 })
                #expect([0, 6, 17].contains(try #require(kind["value"] as? Int)))
            }
        }
        let clones = allowed("clone")
        #expect(clones.count == 1)
        // CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET must all be 0.
        #expect(clones[0].count == 1 && clones[0][0]["index"] as? Int == 0)
        #expect(clones[0][0]["op"] as? String == "SCMP_CMP_MASKED_EQ")
        #expect(clones[0][0]["value"] as? Int == 0x7e02_0000)
        #expect(clones[0][0]["valueTwo"] as? Int == 0)
    }
}
