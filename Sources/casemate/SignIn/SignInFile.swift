import CasemateLinux
import CasemateModel
import Foundation
import Glibc
import NIOHTTP1

/// What a sign-in left on this machine: a file beside the configuration, readable by its owner alone.
struct SignInFile: Codable, Sendable {
    var url: String
    var key: String
    /// RFC 3339.
    var expires: String
    var subject: String

    static var path: String {
        let folder = (ClientConfiguration.path as NSString).deletingLastPathComponent
        return (folder.isEmpty ? "." : folder) + "/sign-in.json"
    }

    /// Nil where there is none.
    /// - Throws: `CommandFailure` for one that is damaged: another credential must not take its place unseen.
    static func read() throws -> SignInFile? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        guard let found = try? JSONDecoder().decode(SignInFile.self, from: data) else {
            throw CommandFailure("\(path) is damaged; remove it, and sign in again: casemate login", code: 2)
        }
        return found
    }

    /// Ends the session at the server. False where that does not know it any more.
    func end() async throws -> Bool {
        try await APIClient.with(as: self) { client in
            guard let current = try await SessionItem.list(client).first(where: { $0.current ?? false }) else { return false }
            _ = try await client.send(.DELETE, "/v1/sessions/\(current.id)")
            return true
        }
    }

    var hasEnded: Bool {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        return formatter.date(from: expires).map { $0 <= Date() } ?? true
    }

    /// In one step: whoever reads it finds a whole one.
    func write() throws {
        let folder = (Self.path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let temporary = Self.path + ".new"
            unlink(temporary)
            let fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard fd >= 0 else { throw SystemError.last("making \(temporary)") }
            defer { close(fd) }
            try Files.writeAll(fd, Array(try JSONEncoder().encode(self)), naming: temporary)
            guard rename(temporary, Self.path) == 0 else { throw SystemError.last("making \(Self.path)") }
        } catch {
            throw CommandFailure("\(Self.path) can't be written: \(error)", code: 2)
        }
    }

    static func remove() { unlink(path) }
}
