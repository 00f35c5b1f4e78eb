import Foundation
import NIOHTTP1

/// Tells on standard error how far a deployment is, while it is under way.
enum DeployProgressText {
    private struct View: Decodable { var lines: [Line] }

    private struct Line: Decodable {
        var function, stage, check: String?
        var findings, milliseconds: Int?

        var text: String? {
            if let stage { return "\(function ?? ""): \(stage)" }
            guard let check else { return nil }
            return
                "  \(check): \((findings ?? 0) == 0 ? (check.hasPrefix("gate.") ? "passed" : "nothing found") : "\(findings ?? 0) finding(s)") (\(milliseconds ?? 0) ms)"
        }
    }

    static func tell(of id: String, _ client: APIClient) async {
        var told = 0
        while !Task.isCancelled {
            do { try await Task.sleep(for: .milliseconds(300)) } catch { return }
            guard let bytes = try? await client.jsonBytes(.GET, "/v1/deployments/\(id)/progress?after=\(told)"), !Task.isCancelled,
                let lines = read(bytes)
            else { continue }
            told += lines.count
            for line in lines { if let text = line.text { Terminal.step(Terminal.visible(text)) } }
        }
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func read(_ bytes: [UInt8]) -> [Line]? { (try? JSONDecoder().decode(View.self, from: Data(bytes)))?.lines }
}
