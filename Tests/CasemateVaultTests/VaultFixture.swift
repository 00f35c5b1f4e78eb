import CasemateModel
import Foundation

@testable import CasemateVault

/// An own folder for the time of `body`.
func withVaultFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = try newFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

func withVaultFolder<R>(_ body: (String) async throws -> R) async throws -> R {
    let folder = try newFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}

private func newFolder() throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    return folder
}

extension Secret {
    convenience init(text: String) { self.init(Array(text.utf8)) }
    var text: String { withBytes { String(decoding: $0, as: UTF8.self) } }
}
