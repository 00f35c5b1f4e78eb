import CArchive
import CasemateDeploy
import CasemateLinux
import CasemateVault
import Foundation
import Glibc

/// Packs a source folder as a zip: the same files give the same bytes, and what must not leave stays out.
struct SourceArchive {
    private(set) var bytes: [UInt8] = []
    private(set) var files = 0
    /// Left out because it may hold credentials.
    private(set) var excluded: [String] = []

    var digest: String { HexDigest.sha256(bytes) }

    static let largest = 100 << 20
    private static let hiddenFolders: Set<String> = [
        ".git", ".aws", ".ssh", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".hg", ".svn",
    ]
    private static let secretFolders: Set<String> = [".git", ".aws", ".ssh"]

    /// Whether a file is left out always, whatever a person wants: it is where credentials are kept.
    static func isCredentialFile(_ name: String) -> Bool {
        let lower = name.lowercased()
        return lower == ".env" || lower.hasPrefix(".env.")
            || [".npmrc", ".netrc", ".pypirc", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"].contains(lower)
            || [".pem", ".key", ".p12", ".pfx"].contains { lower.hasSuffix($0) }
    }

    /// Whether a PEM file holds certificates and no key: the authorities that a vendored client trusts.
    private static func isCertificates(_ path: String, _ size: Int) -> Bool {
        guard path.hasSuffix(".pem"), size <= 4 << 20, let bytes = FileManager.default.contents(atPath: path) else { return false }
        return bytes.range(of: Data("-----BEGIN CERTIFICATE-----".utf8)) != nil && bytes.range(of: Data("PRIVATE KEY".utf8)) == nil
    }

    /// - Throws: `CommandFailure` for a missing folder, a link that leads out, or too much.
    init(folder: String) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
            throw CommandFailure("the source folder \(folder) does not exist", code: 2)
        }
        var found: [(path: String, mode: mode_t)] = []
        let ignored = try IgnoredFiles(folder: folder)
        try Self.walk(folder, prefix: "", ignored, into: &found, excluded: &excluded)
        guard !found.isEmpty else { throw CommandFailure("the source folder \(folder) is empty", code: 2) }
        found.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        files = found.count
        try pack(found, folder: folder)
    }

    private static func walk(
        _ folder: String, prefix: String, _ ignored: IgnoredFiles, into found: inout [(path: String, mode: mode_t)],
        excluded: inout [String]
    ) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/" + prefix).sorted() {
            let path = prefix.isEmpty ? name : prefix + "/" + name
            guard let info = FileStatus(folder + "/" + path), !ignored.has(path) else { continue }
            switch info.kind {
            case .folder:
                if hiddenFolders.contains(name) {
                    if secretFolders.contains(name) { excluded.append(path + "/") }
                    continue
                }
                try walk(folder, prefix: path, ignored, into: &found, excluded: &excluded)
            case .file:
                if isCredentialFile(name), !isCertificates(folder + "/" + path, info.size) {
                    excluded.append(path)
                } else if !name.hasSuffix(".pyc") {
                    found.append((path, info.mode & 0o111 == 0 ? 0o644 : 0o755))
                }
            case .link: throw CommandFailure("\(path) is a symbolic link; a source holds files and folders only", code: 2)
            case .other: throw CommandFailure("\(path) is neither a file nor a folder", code: 2)
            }
            guard found.count <= 20_000 else { throw CommandFailure("\(folder) has more than 20000 files", code: 2) }
        }
    }

    private mutating func pack(_ found: [(path: String, mode: mode_t)], folder: String) throws {
        guard let archive = archive_write_new() else { throw CommandFailure("the source could not be packed") }
        defer { archive_write_free(archive) }
        archive_write_set_format_zip(archive)
        // Padding to tape blocks is of no use here.
        archive_write_set_bytes_in_last_block(archive, 1)
        var total = 0
        let capacity = Self.largest + (64 << 20)
        var out = [UInt8](repeating: 0, count: 1 << 20)
        let contents = try found.map { entry -> (String, mode_t, Data) in
            guard let data = FileManager.default.contents(atPath: folder + "/" + entry.path) else {
                throw CommandFailure("\(folder)/\(entry.path) can't be read", code: 2)
            }
            total += data.count
            guard total <= 500 << 20 else { throw CommandFailure("\(folder) holds more than 500 MiB", code: 2) }
            return (entry.path, entry.mode, data)
        }
        out = [UInt8](repeating: 0, count: min(capacity, total + found.count * 1024 + (1 << 16)))
        var used = 0
        // SAFETY: `out` outlives the archive, which is closed before the buffer's scope ends.
        try out.withUnsafeMutableBytes { buffer in
            guard archive_write_open_memory(archive, buffer.baseAddress, buffer.count, &used) == ARCHIVE_OK else {
                throw CommandFailure("the source could not be packed")
            }
            for (path, mode, data) in contents {
                guard let entry = archive_entry_new() else { throw CommandFailure("the source could not be packed") }
                defer { archive_entry_free(entry) }
                archive_entry_set_pathname(entry, path)
                archive_entry_set_size(entry, Int64(data.count))
                archive_entry_set_filetype(entry, UInt32(Glibc.S_IFREG))
                archive_entry_set_perm(entry, mode)
                // One time for all, so that packing twice gives the same bytes.
                archive_entry_set_mtime(entry, 315_532_800, 0)
                guard archive_write_header(archive, entry) == ARCHIVE_OK else { throw CommandFailure("\(path) could not be packed") }
                let wrote = data.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) }
                guard wrote == data.count else { throw CommandFailure("\(path) could not be packed") }
            }
            guard archive_write_close(archive) == ARCHIVE_OK else { throw CommandFailure("the source could not be packed") }
        }
        bytes = Array(out[..<used])
        guard bytes.count <= Self.largest else { throw CommandFailure("\(folder) packs to more than \(Self.largest >> 20) MiB", code: 2) }
    }
}
