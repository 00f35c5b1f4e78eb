import CasemateLinux
import CLinux
import Glibc

/// One thing that a host must or should have.
struct HostCheck: Encodable {
    enum Verdict: String, Encodable { case good, missing, warning }

    var what: String
    var verdict: Verdict
    var found: String
    var fix: String

    /// Everything that running functions needs of this host.
    static func run() -> [HostCheck] {
        [kernel, cgroups, freezer, userNamespaces, mountCalls, seccompNotifications, crun, mmdebstrap, pip, parts, certificates] + runtimes
    }

    private static var kernel: HostCheck {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        let isNew = numbers.count == 2 && (numbers[0] > 5 || numbers[0] == 5 && numbers[1] >= 12)
        return HostCheck(
            what: "kernel", verdict: isNew ? .good : .missing, found: release, fix: "Linux 5.12 or later is needed (mount_setattr)")
    }

    private static var cgroups: HostCheck {
        let tree = Cgroups()
        let missing = tree.missingControllers
        return HostCheck(
            what: "control groups", verdict: missing.isEmpty ? .good : .missing,
            found: tree.version == .v2 ? "v2" : "v1 (\(tree.hierarchies.count) hierarchies)",
            fix: "enable the controllers \(missing.joined(separator: ", "))")
    }

    private static var userNamespaces: HostCheck {
        let most = (try? Files.text("/proc/sys/user/max_user_namespaces")).flatMap { Int($0.filter(\.isNumber)) } ?? 0
        return HostCheck(
            what: "user namespaces", verdict: most > 0 ? .good : .missing, found: "\(most)", fix: "sysctl user.max_user_namespaces=15000")
    }

    private static var mmdebstrap: HostCheck {
        HostCheck(
            what: "mmdebstrap", verdict: findProgram("mmdebstrap") == nil ? .warning : .good, found: findProgram("mmdebstrap") ?? "",
            fix: "apt-get install mmdebstrap (installs runtimes)")
    }

    private static var pip: HostCheck {
        HostCheck(
            what: "pip", verdict: HostPip.python == nil ? .warning : .good, found: HostPip.python ?? "",
            fix: "apt-get install python3-pip (fetches the build tools)")
    }

    private static var parts: HostCheck {
        let found = Installation.find()
        return HostCheck(
            what: "parts", verdict: found == nil ? .missing : .good, found: found.map { "\($0.runtimes) (\($0.how))" } ?? "",
            fix: "make build, make install, or set CASEMATE_LIBEXEC")
    }

    private static var certificates: HostCheck {
        let path = "/etc/ssl/certs/ca-certificates.crt"
        return HostCheck(
            what: "CA certificates", verdict: Files.exists(path) ? .good : .missing, found: Files.exists(path) ? path : "",
            fix: "apt-get install ca-certificates")
    }

    private static var runtimes: [HostCheck] {
        RuntimeInstaller.known.map { name in
            let folder = RuntimeInstaller().installed.first { $0.name == name }?.folder
            return HostCheck(
                what: "runtime \(name)", verdict: folder == nil ? .warning : .good, found: folder ?? "",
                fix: "casemate runtime install \(name)")
        }
    }
}
