import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

/// An own folder for the time of `body`.
func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
}

/// New records in a folder of their own.
func withRecords(_ body: (Records) async throws -> Void) async throws {
    try await withFolder { try await body(Records(path: $0 + "/casemate.db")) }
}

/// A file's names, or those in a folder.
func names(in folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

extension Namespace {
    static func made(_ name: String) -> Namespace {
        Namespace(id: NamespaceId(), name: NamespaceName(unchecked: name), created: Timestamp(milliseconds: 1000))
    }
}

extension Function {
    static func made(_ name: String, in namespace: Namespace) -> Function {
        Function(
            id: FunctionId(), namespaceId: namespace.id,
            name: FunctionName(namespace: namespace.name, function: FunctionLabel(unchecked: name)), activeRevision: nil,
            wrappedDataKey: WrappedKey(keyId: "file:1", bytes: [0, 1, 2, 0, 255]), created: Timestamp(milliseconds: 2000),
            updated: Timestamp(milliseconds: 2000))
    }
}

extension Revision {
    static func made(_ number: Int, of function: Function, bundle: String = "aa", source: String = "bb") -> Revision {
        Revision(
            id: RevisionId(), functionId: function.id, number: number, bundleDigest: bundle, sourceDigest: source,
            specBytes: Array(#"{"runtime":"python3.11"}"#.utf8), lock: number == 1 ? nil : "requests==2.0\n",
            findings: [Diagnostic(.warning, file: "app.py", line: 3, what: "odd", fix: "change it")], signature: [9, 0, 9],
            created: Timestamp(milliseconds: 3000), createdBy: "key:x")
    }
}

extension StoredCredential {
    static func token(_ namespace: Namespace, _ function: Function? = nil, hash: UInt8, created: Int64 = 1) -> StoredCredential {
        StoredCredential(
            holder: .functionToken(TokenId(), namespace: namespace.id, function: function?.id), hash: [UInt8](repeating: hash, count: 32),
            prefix: "cmt_abcdef", description: "größer", created: Timestamp(milliseconds: created), expires: Timestamp(milliseconds: 99))
    }
}
