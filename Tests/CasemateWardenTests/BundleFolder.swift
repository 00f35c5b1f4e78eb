import CasemateLinux
import Foundation
import Testing

@testable import CasemateWarden

/// An own folder for the time of `body`.
func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

/// Makes a file with the folders above it.
func put(_ text: String, at path: String, mode: mode_t = 0o644) throws {
    try FileManager.default.createDirectory(
        atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    chmod(path, mode)
}

/// A tree with one of each kind of entry that a bundle may have.
func putTree(at root: String) throws {
    try put("print(1)\n", at: root + "/app/handler.py")
    try put("#!/bin/sh\n", at: root + "/app/tool", mode: 0o755)
    try put("", at: root + "/app-data")
    try put("x", at: root + "/lib/deep/er/file")
    try FileManager.default.createDirectory(atPath: root + "/empty", withIntermediateDirectories: true)
    #expect(symlink("handler.py", root + "/app/link") == 0)
    #expect(symlink("../app/./handler.py", root + "/lib/link") == 0)
}

func openFolder(_ path: String) throws -> Descriptor {
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw SystemError.last("opening \(path)") }
    return Descriptor(fd)
}

/// What `command` prints, with `input` on its standard input.
func output(of command: [String], input: Data = Data()) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    let from = Pipe()
    let to = Pipe()
    process.standardInput = from
    process.standardOutput = to
    try process.run()
    try from.fileHandleForWriting.write(contentsOf: input)
    try from.fileHandleForWriting.close()
    let data = try to.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: data, as: UTF8.self)
}

/// SHA-256 by coreutils.
func sha256(_ data: Data) throws -> String { String(try output(of: ["/usr/bin/sha256sum"], input: data).prefix(64)) }
