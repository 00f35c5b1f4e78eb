import Foundation

/// A Python script of this folder that prints one line of JSON about itself and ends when its standard input does, so also when the tests
/// crash.
final class PythonServer: Sendable {
    /// Run with CASEMATE_TEST_PYTHON, or the one that `scripts/test-tools` makes.
    private static let python =
        ProcessInfo.processInfo.environment["CASEMATE_TEST_PYTHON"]
        ?? URL(filePath: #filePath).appending(path: "../../../../.build/test-venv/bin/python3").standardized.path

    /// Of its first line, numbers as text.
    let facts: [String: String]
    /// The same, where values are lists.
    let lists: [String: [String]]
    private let process: Process
    private let input: Pipe

    init(_ script: String, _ arguments: [String] = []) throws {
        process = Process()
        input = Pipe()
        let output = Pipe()
        process.executableURL = URL(filePath: Self.python)
        let file = URL(filePath: #filePath).appending(path: "../Python/\(script).py").standardized
        process.arguments = [file.path] + arguments
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let more = output.fileHandleForReading.readData(ofLength: 1)
            guard !more.isEmpty else { throw Fault() }
            line += more
        }
        let found = try JSONSerialization.jsonObject(with: line) as? [String: Any] ?? [:]
        facts = found.compactMapValues { ($0 as? String) ?? ($0 as? Int).map { String($0) } }
        lists = found.compactMapValues { $0 as? [String] }
    }

    var port: String { facts["port"]! }

    func stop() {
        // Not SIGTERM: a child of a dispatch thread is born with it blocked.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    struct Fault: Error {}
}

/// Runs `body` beside a server, which is ended afterwards.
func withPython<R>(_ script: String, _ arguments: [String] = [], _ body: (PythonServer) async throws -> R) async throws -> R {
    let server = try PythonServer(script, arguments)
    defer { server.stop() }
    return try await body(server)
}
