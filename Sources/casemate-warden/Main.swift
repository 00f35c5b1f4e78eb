import CasemateLinux
import CasemateWarden
import CLinux
import Glibc

/// `casemate-warden`: the one process that stays root. Started by `casemate up` or by systemd.
@main struct Main {
    static func main() {
        let arguments = CommandLine.arguments
        // The worker starts itself for long copies; its descriptors are the whole input.
        if arguments.count == 4, arguments[1] == "ingest", let bytes = UInt64(arguments[2]), let files = UInt32(arguments[3]) {
            do { try Hardening.applyForIngest() } catch { fail("\(error)") }
            exit(Ingest.run(output: 3, bundles: 4, maximumBytes: bytes, maximumFiles: files))
        }
        if arguments.count == 2, arguments[1] == "posture" { exit(Posture.run()) }
        // Nothing of the caller's surroundings comes along: no environment, no descriptor but the lifeline.
        clearenv()
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1)
        var options: [String: String] = [:]
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else { usage() }
            options[String(name.dropFirst(2))] = value
        }
        guard let instance = options["instance"], WardenSettings.isInstance(instance), let store = options["store"],
            let runtimes = options["runtimes"], let parts = options["parts"], let tools = options["tools"],
            let peer = options["peer-uid"].flatMap(UInt32.init), options.keys.allSatisfy(Self.known.contains)
        else { usage() }
        guard geteuid() == 0 else { fail("must be started as root") }
        let lifeline = options["lifeline"].flatMap(Int32.init)
        cl_close_from((lifeline ?? 2) + 1)
        if let lifeline { cl_set_cloexec(lifeline, 1) }
        let settings = WardenSettings(
            instance: instance, store: store, runtimes: runtimes, parts: parts, tools: tools, peerUID: peer)
        do {
            // The tree's own folder may be read-only (0555), and to go past that is given up next.
            try Cgroups().group(WardenSettings.cgroups).make()
            try Hardening.apply()
            try check(cl_notify_supported(), "asking for seccomp's notifications")
            exit(try Monitor(settings: settings, lifeline: lifeline).run())
        } catch {
            fail("\(error)")
        }
    }

    private static let known: Set<String> = ["instance", "store", "runtimes", "parts", "tools", "peer-uid", "lifeline"]

    private static func usage() -> Never {
        fail(
            "usage: casemate-warden --instance NAME --store DIR --runtimes DIR --parts DIR --tools DIR --peer-uid UID [--lifeline FD]")
    }

    private static func fail(_ text: String) -> Never {
        let line = Array("casemate-warden: \(text)\n".utf8)
        _ = line.withUnsafeBytes { write(2, $0.baseAddress, line.count) }
        exit(1)
    }
}
