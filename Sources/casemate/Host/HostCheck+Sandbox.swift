import CasemateLinux
import CLinux
import Glibc

/// What sandboxes stand on: the kernel's calls, and the container runtime with its known faults.
extension HostCheck {
    static var freezer: HostCheck {
        let tree = Cgroups()
        // Version 2 has had it in every group since Linux 5.2.
        let isThere = tree.version == .v2 || tree.hierarchies.contains(tree.root + "/freezer")
        return HostCheck(
            what: "control group freezer", verdict: isThere ? .good : .warning, found: isThere ? "yes" : "",
            fix: "enable the controller freezer; without it idle instances are ended instead of frozen")
    }

    /// The newer calls for mounts and paths, by which bundles are attached without a path.
    static var mountCalls: HostCheck {
        let missing = cl_missing_call().map { String(cString: $0) }
        return HostCheck(
            what: "mount calls", verdict: missing == nil ? .good : .missing, found: missing == nil ? "all" : "no \(missing ?? "")",
            fix: "Linux 5.12 or later is needed, and a container around Casemate must allow \(missing ?? "them")")
    }

    /// By these the warden hears what sandboxes attempt; without them it does not start.
    static var seccompNotifications: HostCheck {
        let actions = (try? Files.text("/proc/sys/kernel/seccomp/actions_avail")) ?? ""
        let isThere = actions.split(whereSeparator: { $0 == " " || $0 == "\n" }).contains("user_notif") && cl_notify_supported() == 0
        return HostCheck(
            what: "seccomp notifications", verdict: isThere ? .good : .missing, found: isThere ? "yes" : "",
            fix: "Linux 5.0 or later with CONFIG_SECCOMP_FILTER is needed")
    }

    static var crun: HostCheck {
        guard let path = findProgram("crun"), let output = try? Shell.run([path, "--version"]).output else {
            return HostCheck(what: "crun", verdict: .missing, found: "", fix: "apt-get install crun")
        }
        let version = CrunVersion(output: output)
        guard let version, version >= CrunVersion.oldest, output.contains("+SECCOMP") else {
            return HostCheck(
                what: "crun", verdict: .missing, found: String(output.prefix { $0 != "\n" }),
                fix: "crun \(CrunVersion.oldest) or later with seccomp is needed (it reports hostile system calls)")
        }
        let faults = CrunVersion.faults.filter { version < $0.before && output.contains($0.feature) }
            .map { "; has \($0.what), harmless here: \($0.harmless)" }
        return HostCheck(what: "crun", verdict: .good, found: "crun version \(version)\(faults.joined())", fix: "")
    }
}

/// `crun version 1.8.1`.
struct CrunVersion: Comparable, CustomStringConvertible {
    let numbers: [Int]

    init(_ numbers: Int...) { self.numbers = numbers }

    /// From what `crun --version` prints. Nil when that is something else.
    init?(output: String) {
        guard let line = output.split(separator: "\n").first, line.hasPrefix("crun version ") else { return nil }
        let parts = line.dropFirst("crun version ".count).prefix { $0.isNumber || $0 == "." }.split(separator: ".").map { Int($0) }
        guard !parts.isEmpty, parts.count <= 4, !parts.contains(nil) else { return nil }
        numbers = parts.compactMap { $0 }
    }

    static func < (one: CrunVersion, other: CrunVersion) -> Bool { one.numbers.lexicographicallyPrecedes(other.numbers) }

    var description: String { numbers.map(String.init).joined(separator: ".") }

    static let oldest = CrunVersion(1, 0)

    /// Faults that a distribution's older version may have, where crun was built with `feature`, and why ours do not meet them.
    static let faults: [(before: CrunVersion, feature: String, what: String, harmless: String)] = [
        (
            CrunVersion(1, 4, 4), "", "inheritable capabilities by default (CVE-2022-27650)",
            "our profiles name every set, and all are empty"
        ),
        // Measured with 1.8.1, and looked for in no later one.
        (
            CrunVersion(1, 8, 2), "", "device nodes written to the host through a symlinked /dev",
            "our profiles always mount a file system on /dev"
        ),
        (CrunVersion(1, 20), "+LIBKRUN", "an escape by the krun handler (CVE-2025-24965)", "our profiles choose no handler"),
    ]
}
