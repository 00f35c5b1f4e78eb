import CasemateLinux
import CLinux
import Foundation
import Glibc

/// Runs Debian's programs: never through a shell, never with a caller's words as options.
enum Shell {
    /// Answers the exit status and what was printed on both streams.
    /// - Parameter names: of variables of this process's that the program needs, too.
    static func run(_ arguments: [String], keeping names: [String] = []) throws -> (status: Int32, output: String) {
        var pair: [Int32] = [-1, -1]
        try check(cl_pipe(&pair), "making a pipe")
        let read = Descriptor(pair[0])
        defer { read.staysOpen() }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        guard let program = arguments[0].hasPrefix("/") ? arguments[0] : findProgram(arguments[0]) else {
            close(pair[1])
            throw CommandFailure("\(arguments[0]) is not installed; apt-get install \(arguments[0])")
        }
        let path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        let kept = ProcessInfo.processInfo.environment.filter {
            $0.key.hasPrefix("PIP_") || $0.key.lowercased().hasSuffix("_proxy") || $0.key == "HOME" || names.contains($0.key)
        }
        let pid = try spawn(
            [program] + arguments.dropFirst(), environment: path + kept.map { "\($0.key)=\($0.value)" },
            descriptors: [null, pair[1], pair[1]])
        close(pair[1])
        let output = try Files.read(read.raw, limit: 16 << 20, naming: "the output of \(arguments[0])")
        var status: Int32 = 0
        cl_wait_pid(pid, 0, &status)
        return (exitStatus(status), String(decoding: output, as: UTF8.self))
    }

    /// As shells count it: 128 + the number of the signal that ended a program, if one did.
    static func exitStatus(_ status: Int32) -> Int32 { status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f) }
}
