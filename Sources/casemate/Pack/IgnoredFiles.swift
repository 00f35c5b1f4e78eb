import CArchive
import CasemateLinux
import Foundation

/// What an author keeps out of the packed source: a pattern for each line of `.casemateignore`, in libarchive's form. `*`, `?` and `[a-z]`
/// stand for what they do in a shell; a pattern holds at any depth, for a folder with all in it.
final class IgnoredFiles {
    static let file = ".casemateignore"
    private let match: OpaquePointer

    /// - Throws: `CommandFailure` for a line that is no pattern.
    init(folder: String) throws {
        guard let match = archive_match_new() else { throw CommandFailure("the source could not be packed") }
        self.match = match
        archive_match_exclude_pattern(match, Self.file)
        guard let data = FileManager.default.contents(atPath: folder + "/" + Self.file) else { return }
        guard data.count <= 1 << 16, let text = String(data: data, encoding: .utf8) else {
            throw CommandFailure("\(folder)/\(Self.file) is longer than 64 KiB, or not UTF-8 text", code: 2)
        }
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var pattern = line.trimmingCharacters(in: .whitespaces)
            if pattern.isEmpty || pattern.hasPrefix("#") { continue }
            guard !pattern.hasPrefix("!") else {
                throw CommandFailure(
                    "\(folder)/\(Self.file):\(number + 1): a pattern can't take back another one; remove the line", code: 2)
            }
            while pattern.hasSuffix("/") { pattern.removeLast() }
            guard !pattern.isEmpty, archive_match_exclude_pattern(match, pattern) == ARCHIVE_OK else {
                throw CommandFailure("\(folder)/\(Self.file):\(number + 1): this is no pattern; write it like keys/ or *.log", code: 2)
            }
        }
    }

    deinit { archive_match_free(match) }

    /// - Parameter path: relative to the source folder.
    func has(_ path: String) -> Bool {
        guard let entry = archive_entry_new() else { return false }
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, path)
        return archive_match_path_excluded(match, entry) != 0
    }
}
