import CasemateServer
import CLinux
import Glibc

/// Giving up root.
enum Privileges {
    /// When `up` executed this process as root to serve: becomes the server's user at once and for good, or ends.
    static func dropIfAsked() {
        guard let uidText = getenv(ServeEnvironment.Variable.uid.rawValue), let gidText = getenv(ServeEnvironment.Variable.gid.rawValue)
        else { return }
        guard let uid = uid_t(String(cString: uidText)), let gid = gid_t(String(cString: gidText)), cl_become(uid, gid) == 0 else {
            fputs("casemate: could not give up root\n", stderrStream())
            exit(1)
        }
        unsetenv(ServeEnvironment.Variable.uid.rawValue)
        unsetenv(ServeEnvironment.Variable.gid.rawValue)
        unsetenv("HOME")
        cl_not_dumpable()
    }

    private static func stderrStream() -> UnsafeMutablePointer<FILE>? { fdopen(2, "w") }
}
