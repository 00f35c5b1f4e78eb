import CLinux
import CSeccomp
import CasemateLinux
import Glibc

/// `casemate-warden posture`: takes the warden's own hardening, then says what is left. For tests and for operators.
public enum Posture {
    /// Prints one line of JSON: the lines of /proc/self/status, and what came of calls that are refused.
    public static func run() -> Int32 {
        do throws(SystemError) {
            try Hardening.apply()
            let status = try Files.text("/proc/self/status")
            let fields = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"]
            let lines = status.split(separator: "\n").compactMap { line -> String? in
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2, fields.contains(String(parts[0])) else { return nil }
                return "\"\(parts[0])\": \"\(parts[1].drop { $0 == "\t" })\""
            }
            let calls = Hardening.refusedCalls.map { "\"\($0)\": \(-cl_call_with_nonsense(seccomp_syscall_resolve_name($0)))" }
            let text = "{\(lines.joined(separator: ", ")), \"calls\": {\(calls.joined(separator: ", "))}}\n"
            try Files.writeAll(1, Array(text.utf8), naming: "the output")
            return 0
        } catch {
            Journal.write("\(error)")
            return 1
        }
    }
}
