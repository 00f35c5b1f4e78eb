import CasemateLinux
import CLinux
import Glibc

extension Shell {
    /// Hands a program all of its input at once and takes what it prints a line at a time, while it runs; what it says on standard error
    /// goes to this process's own.
    ///
    /// Foundation's `Process` hears of a program's end through the loopback interface: without one it may wait for ever.
    ///
    /// - Parameter arguments: the program's path first.
    /// - Parameter environment: all of it, as `NAME=value`.
    /// - Returns: the exit status.
    /// - Throws: `SystemError` where it can't be started.
    static func run(
        _ arguments: [String], environment: [String], input: [UInt8], line: ([UInt8]) -> Void
    ) throws(SystemError) -> Int32 {
        // A pipe would have to be filled while the output is read, and break where the program ends early.
        let given = Descriptor(try check(cl_memfd("input"), "making a memory file"))
        defer { given.staysOpen() }
        try Files.writeAll(given.raw, input, naming: "a memory file")
        lseek(given.raw, 0, SEEK_SET)
        var pair: [Int32] = [-1, -1]
        try check(cl_pipe(&pair), "making a pipe")
        let read = Descriptor(pair[0])
        defer { read.staysOpen() }
        // Ours has to close, for the end of the output to be seen.
        let started = Result { () throws(SystemError) in
            try spawn(arguments, environment: environment, descriptors: [given.raw, pair[1], 2])
        }
        close(pair[1])
        let pid = try started.get()
        var rest: [UInt8] = []
        while let part = try? Files.readPart(read.raw, most: 1 << 16, naming: arguments[0]), !part.isEmpty {
            let parts = part.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for ended in parts.dropLast() {
                line(rest + ended)
                rest = []
            }
            rest += parts.last ?? []
        }
        var status: Int32 = 0
        cl_wait_pid(pid, 0, &status)
        return exitStatus(status)
    }
}
