import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

@Suite("The file of a PIN")
struct PINFileTests {
    private func withFile(_ content: String, mode: mode_t = 0o600, _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-pin-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try content.write(toFile: folder + "/pin", atomically: false, encoding: .utf8)
        chmod(folder + "/pin", mode)
        try body(folder + "/pin")
    }

    private func read(_ path: String) throws(KeyProviderError) -> String {
        guard let file = PINFile(source: path) else { return "no such source" }
        let pin = try file.read()
        return pin.withBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test(
        "one end of line is not the PIN's",
        arguments: [
            ("1234", "1234"), ("1234\n", "1234"), ("1234\r\n", "1234"), (" 12 34 \n", " 12 34 "), ("1234\n\n", "1234\n"),
            ("1234\r", "1234\r"),
        ])
    func trimmed(content: String, pin: String) throws {
        try withFile(content) { path throws in #expect(try read(path) == pin) }
    }

    @Test("modes 0600 and 0400 are read, all others refused")
    func modes() throws {
        for mode: mode_t in [0o600, 0o400] { try withFile("1234", mode: mode) { path throws in #expect(try read(path) == "1234") } }
        for mode: mode_t in [0o640, 0o604, 0o644, 0o660, 0o700, 0o610, 0o601, 0o602, 0o620, 0o440, 0o777, 0o4600] {
            try withFile("1234", mode: mode) { path in
                let error = #expect(throws: KeyProviderError.self) { try read(path) }
                #expect(error?.description.contains("0600 or 0400") == true)
            }
        }
    }

    @Test("up to 4096 bytes")
    func size() throws {
        try withFile(String(repeating: "1", count: 4096)) { path throws in #expect(try read(path).utf8.count == 4096) }
        try withFile(String(repeating: "1", count: 4097)) { path in #expect(throws: KeyProviderError.self) { try read(path) } }
        for empty in ["", "\n", "\r\n"] { try withFile(empty) { path in #expect(throws: KeyProviderError.self) { try read(path) } } }
    }

    @Test("a link, a folder, a pipe and nothing at all are refused, without waiting")
    func notOrdinary() throws {
        try withFile("1234") { path throws in
            symlink(path, path + ".link")
            mkfifo(path + ".pipe", 0o600)
            mkdir(path + ".folder", 0o600)
            for wrong in [".link", ".pipe", ".folder", ".none"] { #expect(throws: KeyProviderError.self) { try read(path + wrong) } }
        }
    }

    @Test("a file: URI is a path")
    func uris() throws {
        for (source, path) in [
            ("/a/b%20c", "/a/b%20c"), ("file:/a/b%20c", "/a/b c"), ("file:///a", "/a"), ("file://localhost/a", "/a"),
            ("file:///%c3%A9", "/é"),
        ] { #expect(PINFile(source: source)?.path == path, "\(source)") }
        for source in [
            "", "a", "file:a", "file:", "file://", "file://host/a", "file:///%zz", "file:///%2", "file:///%+a", "file:///a%00",
            "file:///%ff", "file:////a", "|/a",
        ] { #expect(PINFile(source: source) == nil, "\(source)") }
    }

    @Test("another content or another time is another version")
    func version() throws {
        try withFile("1234") { path throws in
            let file = try #require(PINFile(source: path))
            let first = try file.read().version
            #expect(try file.read().version == first)
            var times = [timespec(tv_sec: 1_000_000, tv_nsec: 7), timespec(tv_sec: 1_000_000, tv_nsec: 7)]
            utimensat(AT_FDCWD, path, &times, 0)
            let second = try file.read().version
            #expect(second != first)
            try "4321".write(toFile: path, atomically: false, encoding: .utf8)
            utimensat(AT_FDCWD, path, &times, 0)
            #expect(try file.read().version != second)
        }
    }
}
