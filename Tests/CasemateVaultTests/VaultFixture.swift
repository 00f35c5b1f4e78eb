import CasemateModel
import Foundation

@testable import CasemateVault

/// An own folder for the time of `body`.
func withVaultFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

extension Secret {
    convenience init(text: String) { self.init(Array(text.utf8)) }
    var text: String { withBytes { String(decoding: $0, as: UTF8.self) } }
}
