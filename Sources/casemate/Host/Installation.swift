import CasemateLinux
import Glibc

/// Where the parts of this installation lie: the warden, the shims and the profiles.
struct Installation {
    var warden: String
    /// Holds `python/` and `profiles/`.
    var runtimes: String
    var how: String

    /// Looks in this order; never in the current folder.
    static func find() -> Installation? {
        if let named = getenv("CASEMATE_LIBEXEC") {
            let folder = String(cString: named)
            return Installation(warden: folder + "/casemate-warden", runtimes: folder + "/runtimes", how: "CASEMATE_LIBEXEC").ifComplete
        }
        guard let executable else { return nil }
        let folder = parent(executable)
        let installed = parent(folder) + "/lib/casemate"
        if let found = Installation(warden: installed + "/casemate-warden", runtimes: installed + "/runtimes", how: "beside the executable")
            .ifComplete
        {
            return found
        }
        // …/.build/<triple>/<configuration>/casemate, or another scratch path of that form.
        var above = folder
        for _ in 0..<5 where above.count > 1 {
            above = parent(above)
            if let found = Installation(warden: folder + "/casemate-warden", runtimes: above + "/runtimes", how: "the checkout").ifComplete
            {
                return found
            }
        }
        return nil
    }

    static var executable: String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &buffer, 4095)
        return length > 0 ? String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "/"
    }

    private var ifComplete: Installation? {
        access(warden, X_OK) == 0 && Files.exists(runtimes + "/profiles") && Files.exists(runtimes + "/python/casemate_runtime")
            ? self : nil
    }

    /// Root file systems of runtimes, shared by all servers of the host.
    static var runtimesFolder: String { getenv("CASEMATE_RUNTIMES").map { String(cString: $0) } ?? "/var/lib/casemate/runtimes" }
    static var toolsFolder: String { getenv("CASEMATE_TOOLS").map { String(cString: $0) } ?? "/var/lib/casemate/tools" }
}
