import Foundation

@testable import CasemateVault

/// A library before SoftHSM that answers with errors as told, and counts calls.
struct FaultyToken {
    let token: TestToken
    let library: String
    private let faults: String
    private let calls: String

    /// Compiled for each test, since the paths that it reads are in it.
    init(_ token: TestToken) throws {
        self.token = token
        library = Workshop.folder + "/faulty.so"
        faults = Workshop.folder + "/faults"
        calls = Workshop.folder + "/calls"
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("FaultyModule/faulty.c").path
        let headers = try Workshop.run("/usr/bin/pkg-config", ["--cflags", "p11-kit-1"]).split(whereSeparator: \.isWhitespace)
        try Workshop.run(
            "/usr/bin/cc",
            ["-shared", "-fPIC", "-DFAULTS=\"\(faults)\"", "-DCALLS=\"\(calls)\"", "-DSOFTHSM=\"\(TestToken.library)\"", "-o", library]
                + headers.map(String.init) + [source])
    }

    var address: String { token.address(library: library) }

    /// The next `times` calls of `function` answer `code`; 0 for all of them.
    func tell(_ function: String, _ code: UInt = 0, times: Int = 0) throws {
        let old = (try? String(contentsOfFile: faults, encoding: .utf8)) ?? ""
        try (old + "\(function) 0x\(String(code, radix: 16)) \(times)\n").write(toFile: faults, atomically: true, encoding: .utf8)
    }

    func healed() throws { try "".write(toFile: faults, atomically: true, encoding: .utf8) }

    func count(_ function: String) -> Int { lines.count { $0[0] == function } }

    /// That made calls, so far.
    var threads: Set<Substring> { Set(lines.map { $0[1] }) }

    private var lines: [[Substring]] {
        ((try? String(contentsOfFile: calls, encoding: .utf8)) ?? "").split(separator: "\n").map { $0.split(separator: " ") }
    }
}
