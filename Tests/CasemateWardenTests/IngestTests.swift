import CasemateLinux
import CasemateWire
import Foundation
import Testing

@testable import CasemateWarden

/// `casemate-warden ingest`, as the warden starts it, on folders of the test's own.
@Suite("Copying a build's output into the store")
struct IngestTests {
    private enum Answer: Equatable {
        case stored(digest: String, files: UInt32, bytes: UInt64)
        case refused(String)
    }

    /// The program lies beside the tests' own.
    private static let program: String = {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, 4095)
        let own = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let beside = URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("casemate-warden").path
        if access(beside, X_OK) == 0 { return beside }
        // A runner may start the tests from elsewhere.
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent(".build/debug/casemate-warden").path
    }()

    private func ingest(_ output: String, into bundles: String, bytes: UInt64 = 1 << 20, files: UInt32 = 100) throws -> Answer {
        let source = try openFolder(output)
        let target = try openFolder(bundles)
        let result = Descriptor(open(bundles + "/../result", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600))
        let pid = try spawn([Self.program, "ingest", "\(bytes)", "\(files)"], descriptors: [0, result.raw, 2, source.raw, target.raw])
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid)
        #expect(status == 0)
        lseek(result.raw, 0, SEEK_SET)
        var input = ByteReader(try Files.read(result.raw, limit: 4096, naming: "the answer"))
        guard try input.integer(UInt8.self) == 1 else { return .refused(String(decoding: try input.take(input.remaining), as: UTF8.self)) }
        let digest = try #require(BundleDigest(try input.take(32)))
        let answer = Answer.stored(digest: digest.hex, files: try input.integer(), bytes: try input.integer())
        try input.finish()
        return answer
    }

    private func withFolders(_ body: (_ output: String, _ bundles: String) throws -> Void) throws {
        try withFolder { folder throws in
            for name in ["out", "bundles"] { try Files.makeDirectories("\(folder)/\(name)", mode: 0o755) }
            try body(folder + "/out", folder + "/bundles")
        }
    }

    @Test("a sound tree is stored under its digest, with modes of our own")
    func stored() throws {
        try withFolders { output, bundles throws in
            try putTree(at: output)
            chmod(output + "/app/tool", 0o4711)
            chmod(output + "/lib", 0o777)
            let answer = try ingest(output, into: bundles)
            guard case .stored(let hex, let files, let bytes) = answer else {
                Issue.record("\(answer)")
                return
            }
            #expect(files == 11)
            #expect(bytes == 20)
            let path = bundles + "/sha256-" + hex
            #expect(try String(contentsOfFile: path + "/app/handler.py", encoding: .utf8) == "print(1)\n")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: path + "/lib/link") == "../app/./handler.py")
            for (name, mode) in [("app/tool", 0o755), ("app/handler.py", 0o644), ("lib", 0o755), ("empty", 0o755)] as [(String, mode_t)] {
                var found = stat()
                #expect(lstat("\(path)/\(name)", &found) == 0)
                #expect(found.st_mode & 0o7777 == mode, "\(name)")
            }
            let store = try BundleStore(path: bundles)
            #expect(try store.verify(try #require(BundleDigest(hex: hex))) == .intact)
        }
    }

    @Test("the same tree twice is stored once")
    func twice() throws {
        try withFolders { output, bundles throws in
            try putTree(at: output)
            let first = try ingest(output, into: bundles)
            #expect(try ingest(output, into: bundles) == first)
            #expect(Files.names(in: bundles).count == 1)
        }
    }

    @Test("a link that leads out is refused, and nothing is stored")
    func outward() throws {
        try withFolders { output, bundles throws in
            try putTree(at: output)
            #expect(symlink("/etc/shadow", output + "/app/shadow") == 0)
            guard case .refused(let why) = try ingest(output, into: bundles) else {
                Issue.record("stored")
                return
            }
            #expect(why.contains("app/shadow"))
            #expect(Files.names(in: bundles) == [])
        }
    }

    @Test("pipes, too many entries and too many bytes are refused, and nothing is stored")
    func hostile() throws {
        try withFolders { output, bundles throws in
            try putTree(at: output)
            for answer in [try ingest(output, into: bundles, bytes: 19), try ingest(output, into: bundles, files: 10)] {
                guard case .refused = answer else {
                    Issue.record("stored")
                    continue
                }
            }
            #expect(mkfifo(output + "/pipe", 0o644) == 0)
            if case .stored = try ingest(output, into: bundles) { Issue.record("stored a pipe") }
            #expect(Files.names(in: bundles) == [])
        }
    }

    @Test("a copy that fails half way leaves nothing behind")
    func halfWay() throws {
        try withFolders { output, bundles throws in
            try put("large", at: output + "/a")
            // Two names that repair to the same text: the second copy can't be made.
            for name in [[CChar(bitPattern: 0xff), 0], Array("\u{fffd}".utf8CString)] {
                let fd = open(Array(output.utf8CString.dropLast()) + [47] + name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
                #expect(fd >= 0)
                close(fd)
            }
            if case .stored = try ingest(output, into: bundles) { Issue.record("stored a name that is not text") }
            #expect(Files.names(in: bundles) == [])
        }
    }
}
