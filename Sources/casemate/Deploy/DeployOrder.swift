import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Sends a project to the server, and waits for what becomes of it.
struct DeployOrder {
    let project: DeployProject
    /// Per function, armored.
    var signatures: [String: String]?
    var dryRun = false
    /// Whether how far it is is told on standard error.
    var tellsProgress = true
    /// Set when the server is told to deploy: from then on something may have come of it.
    let sent = Flag()

    final class Flag: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }

    private struct Request: Encodable {
        var namespace: String?
        var manifest: String
        var file: String
        var sources: [String: String]
        var signatures: [String: String]?
        var dryRun: Bool
        var id: String
    }

    private struct Archive: Decodable { var digest: String }

    private struct View: Decodable { var functions: [DeployedFunction] }

    /// - Returns: the answer as it came, and what it says.
    func send(_ client: APIClient) async throws -> (bytes: [UInt8], functions: [DeployedFunction]) {
        var sources: [String: String] = [:]
        for (label, source) in project.archives {
            for name in source.excluded { Terminal.error(Terminal.visible("left out: \(label): \(name) (may hold credentials)")) }
            Terminal.step("uploading \(label): \(source.files) file(s), \(source.bytes.count) bytes")
            let answer = try await client.send(
                .POST, "/v1/archives", body: .bytes(ByteBuffer(bytes: source.bytes)), type: "application/zip", timeout: .seconds(300))
            sources[label.text] = try JSONDecoder().decode(Archive.self, from: Data(answer)).digest
        }
        if !dryRun { Terminal.step("building, scanning and signing in a sandbox") }
        let id = UUID().uuidString.lowercased()
        let request = Request(
            namespace: project.namespace?.text, manifest: project.text, file: project.file, sources: sources, signatures: signatures,
            dryRun: dryRun, id: id)
        let telling = tellsProgress && !dryRun ? Task { await DeployProgressText.tell(of: id, client) } : nil
        defer { telling?.cancel() }
        sent.set()
        let answer = try await client.jsonBytes(.POST, "/v1/deployments", body: request, timeout: .seconds(1800))
        return (answer, try JSONDecoder().decode(View.self, from: Data(answer)).functions)
    }
}
