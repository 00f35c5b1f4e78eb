import CLinux
import Glibc

/// Starts a program with exactly these descriptors (index = number in the child) and this environment.
///
/// - Parameter dieWithParent: only from a thread that never ends: the signal is tied to the thread.
public func spawn(
    _ arguments: [String], environment: [String] = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [Int32], newSession: Bool = false,
    dieWithParent: Bool = false
) throws(SystemError) -> pid_t {
    var pid: pid_t = 0
    let result = withCStrings(arguments) { argv in
        withCStrings(environment) { envp in
            cl_spawn(arguments[0], argv, envp, descriptors, descriptors.count, newSession ? 1 : 0, dieWithParent ? 1 : 0, &pid)
        }
    }
    try check(result, "starting \(arguments[0])")
    return pid
}

/// Calls `body` with a NULL-terminated array of C strings that live for the call.
public func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let copies: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { copies.forEach { free($0) } }
    return body(copies)
}

/// The first of the usual folders that holds an executable `name`.
public func findProgram(_ name: String) -> String? {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
}
