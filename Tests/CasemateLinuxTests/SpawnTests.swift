import Foundation
import Testing

@testable import CasemateLinux

@Suite("Starting programs")
struct SpawnTests {
    /// Runs a shell script and answers what it wrote to descriptor 1, and its wait status.
    private func run(_ script: String, environment: [String], extra: [Int32] = []) throws -> (output: String, status: Int32) {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        let read = Descriptor(ends[0])
        let pid: pid_t
        do {
            let write = Descriptor(ends[1])
            let null = Descriptor(open("/dev/null", O_RDWR | O_CLOEXEC))
            pid = try spawn(["/bin/sh", "-c", script], environment: environment, descriptors: [null.raw, write.raw, null.raw] + extra)
        }
        let output = try Files.read(read.raw, limit: 1 << 20, naming: "a pipe")
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid)
        return (String(decoding: output, as: UTF8.self), status)
    }

    @Test("a child has exactly the environment it was given")
    func environment() throws {
        let (output, status) = try run("/usr/bin/env", environment: ["ONLY=this"])
        #expect(status == 0)
        #expect(
            output.split(separator: "\n").filter { !$0.hasPrefix("PWD=") && !$0.hasPrefix("_=") && !$0.hasPrefix("SHLVL=") } == [
                "ONLY=this"
            ])
    }

    @Test("a child has exactly the descriptors it was given")
    func descriptors() throws {
        // Without close-on-exec, so that only the list keeps it out; beyond what the shell takes for itself, which may be any from 10 on.
        let null = Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
        let stray = Descriptor(fcntl(null.raw, F_DUPFD, 200))
        let given = Descriptor(open("/dev/zero", O_RDONLY | O_CLOEXEC))
        let (output, _) = try run(
            "for fd in 0 1 2 3 4 5 6 7 8 9 \(stray.raw); do [ -e /proc/self/fd/$fd ] && echo $fd; done", environment: [], extra: [given.raw]
        )
        #expect(output.split(separator: "\n").compactMap { Int($0) } == [0, 1, 2, 3])
    }

    @Test("a program that is not there is an error here, not a child that fails")
    func missing() {
        #expect(throws: SystemError.self) { _ = try spawn(["/nowhere/at/all"], descriptors: [0, 1, 2]) }
    }

    @Test("a descriptor is closed with its last reference")
    func descriptor() throws {
        let raw: Int32
        var copy: Int32 = -1
        do {
            let descriptor = Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
            copy = try descriptor.duplicate()
            raw = copy
        }
        #expect(raw >= 3)
        #expect(fcntl(copy, F_GETFD) == FD_CLOEXEC)
        close(copy)
    }
}
