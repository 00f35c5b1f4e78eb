import ArgumentParser
import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import NIOHTTP1

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Read the record of who did what, and check that nobody rewrote it.",
        discussion: """
            casemate audit tail -f                              what happens now
            casemate audit tail --kind 'secret.*' --json        one record a line
            casemate audit checkpoint >> my-checkpoints.jsonl   a signed statement to keep elsewhere
            casemate audit verify --against my-checkpoints.jsonl
            """,
        subcommands: [Tail.self, Verify.self, Checkpoint.self])

    struct Page: Decodable {
        var records: [AuditRecord]
        var cursor: UInt64
    }

    struct Tail: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the newest records.")
        @Flag(name: .shortAndLong, help: "Go on with new ones until Ctrl-C.") var follow = false
        @Option(name: [.customShort("n"), .long], help: "How many of the newest.") var tail = 50
        @Option(help: "Only these kinds, comma between; secret.* for all of secret.") var kind: String?
        @Option(help: "Only of this actor, as the records name it.") var actor: String?
        @Option(help: "NAMESPACE: takes audit:read there, not on the whole server.") var namespace: NamespaceName?
        @Option(help: "NAMESPACE/FUNCTION") var function: FunctionName?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard (0...10_000).contains(tail) else { throw CommandFailure("--tail is 0 to 10000", code: 2) }
            let place = (namespace ?? function?.namespace).map { "/v1/namespaces/\($0)/audit" } ?? "/v1/audit"
            var filter: [String: String] = [:]
            filter["kind"] = kind
            filter["actor"] = actor
            filter["function"] = function?.description
            let query = filter.isEmpty ? "" : "&" + APIClient.encode(filter)
            try await APIClient.with { client in
                var page: Page = try await client.json(.GET, "\(place)?tail=\(tail)\(query)")
                try show(page.records)
                while follow {
                    page = try await client.json(.GET, "\(place)?after=\(page.cursor)&wait=20\(query)")
                    try show(page.records)
                }
            }
        }

        private func show(_ records: [AuditRecord]) throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            for record in records {
                if output.json {
                    Terminal.write([UInt8](try encoder.encode(record)) + [10])
                    continue
                }
                let details = (record.details ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
                let outcome = record.outcome == "done" ? "" : Terminal.coloured(" (\(record.outcome))", .red)
                let what = [
                    record.function ?? record.namespace ?? "", "by \(record.actor)", record.source.map { "from \($0)" } ?? "", details,
                ]
                Terminal.line(
                    "\(Terminal.coloured("\(record.sequence) \(record.time)", .dim)) \(record.kind)\(outcome) "
                        + Terminal.visible(what.filter { !$0.isEmpty }.joined(separator: " ")))
            }
        }
    }

    struct Checkpoint: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a signed checkpoint of now, to be kept where the server can't reach it.")

        struct View: Decodable {
            var checkpoint: AuditCheckpoint
            var fingerprint: String
        }

        func run() async throws {
            try await APIClient.with { client in
                let view: View = try await client.json(.GET, "/v1/audit/checkpoint")
                Terminal.write(view.checkpoint.line + [10])
                Terminal.error("record \(view.checkpoint.sequence), signed with the key \(view.fingerprint)")
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that no record was changed, removed, added or put elsewhere.",
            discussion: """
                Reads the whole log from the server, or from a folder (DIR/server/audit) without one, and recomputes its chain. Only a checkpoint
                that was kept elsewhere shows that the log's end was cut off, or that all of it was written anew: give the file with --against.
                Exit code 0: nothing was found; 1: it was tampered with; 2: it could not be checked.
                """)
        @Option(help: "File of checkpoints, one a line, as checkpoint prints them and --audit-checkpoints keeps them.") var against: String?
        @Option(help: "The log's folder, for a server that does not run, or is not trusted to answer.") var folder: String?
        @Option(help: "Fingerprint of the key that checkpoints must be signed with.") var key: String?
        @OptionGroup var output: OutputOptions

        struct Verdict: Encodable {
            var isIntact: Bool
            var records: UInt64
            var checkpoints: Int
            var findings: [String]
        }

        func validate() throws {
            guard key.map({ $0.utf8.count == 64 && $0.utf8.allSatisfy(Self.hexDigits.contains) }) ?? true else {
                throw ValidationError("--key is a fingerprint of 64 hexadecimal digits, as casemate audit checkpoint prints it")
            }
        }

        private static let hexDigits = Swift.Set("0123456789abcdef".utf8)

        func run() async throws {
            let kept = try checkpoints()
            var verifier = AuditVerifier(checkpoints: kept)
            if let folder { try verify(folder, &verifier) } else { verifier = try await verifyServer(verifier) }
            verifier.finish()
            var findings = verifier.findings.map(\.description)
            if verifier.sequence == 0, findings.isEmpty { findings.append("there is no record at all") }
            if let key, let named = verifier.key, named != key { findings.append("the log was begun with another key (\(named))") }
            for checkpoint in kept where checkpoint.chain != verifier.chain {
                findings.append("the checkpoint of \(checkpoint.time) is of another log (\(checkpoint.chain))")
                break
            }
            let verdict = Verdict(
                isIntact: findings.isEmpty, records: verifier.sequence, checkpoints: kept.count, findings: findings)
            if output.json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                Terminal.write([UInt8](try encoder.encode(verdict)) + [10])
                guard verdict.isIntact else { throw CommandFailure("") }
                return
            }
            guard findings.isEmpty else {
                throw CommandFailure(
                    "the audit log is not what was written:\n" + findings.map { "  \(Terminal.visible($0))" }.joined(separator: "\n"))
            }
            Terminal.line(
                "\(verifier.sequence) records, chained without a gap"
                    + (kept.isEmpty
                        ? "; without --against nothing is known about records that were cut off at the end"
                        : ", and as \(kept.count) checkpoints have them"))
        }

        /// What is no valid checkpoint in the file is an error: a forged line must not make it look as if nothing had been kept.
        private func checkpoints() throws -> [AuditCheckpoint] {
            guard let against else { return [] }
            guard let data = FileManager.default.contents(atPath: against) else {
                throw CommandFailure("\(against) can't be read", code: 2)
            }
            var found: [AuditCheckpoint] = []
            for (index, line) in data.split(separator: 10).enumerated() {
                guard let checkpoint = AuditCheckpoint(line: Array(line)) else {
                    throw CommandFailure("\(against):\(index + 1): not a checkpoint", code: 2)
                }
                guard checkpoint.isSigned else { throw CommandFailure("\(against):\(index + 1): its signature is not valid") }
                guard key == nil || key == checkpoint.fingerprint, found.first.map({ $0.fingerprint == checkpoint.fingerprint }) ?? true
                else {
                    throw CommandFailure("\(against):\(index + 1): signed with another key, \(checkpoint.fingerprint)")
                }
                found.append(checkpoint)
            }
            guard !found.isEmpty else { throw CommandFailure("\(against) has no checkpoint", code: 2) }
            return found
        }

        private func verify(_ folder: String, _ verifier: inout AuditVerifier) throws {
            let files = AuditFiles.all(in: folder)
            guard !files.isEmpty else { throw CommandFailure("\(folder) has no audit log; it lies in DIR/server/audit", code: 2) }
            for (index, file) in files.enumerated() {
                do {
                    let rest = try AuditFiles.eachLine(of: file.path) { line in
                        verifier.take(line)
                        return true
                    }
                    // A crash can leave half a line at the very end: no record, and none that was there before.
                    guard rest > 0 else { continue }
                    if index < files.count - 1 {
                        verifier.take([])
                    } else {
                        Terminal.error("the last line is cut off, as a crash leaves it")
                    }
                } catch { throw CommandFailure("\(file.path) can't be read", code: 2) }
            }
        }

        private func verifyServer(_ start: AuditVerifier) async throws -> AuditVerifier {
            var verifier = start
            try await APIClient.with { client in
                var position = 0
                while true {
                    let bytes = try await client.send(.GET, "/v1/audit/log?position=\(position)")
                    if bytes.isEmpty { return }
                    position += bytes.count
                    for line in bytes.dropLast().split(separator: 10, omittingEmptySubsequences: false) { verifier.take(line) }
                }
            }
            return verifier
        }
    }
}
