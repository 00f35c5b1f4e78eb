import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import CasemateServer
import Foundation
import Glibc
import NIOCore
import NIOHTTP1

struct Invoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Call a function and print its response.",
        discussion: """
            Prints the body alone. Exits 0 on 2xx, 1 on the function's error, 2 when the call was refused.
            With --async the call is accepted, and runs when there is room: its id is printed as soon as it is on the server's disk.
              casemate invoke plant/score --async --data '{"x": 1}'
              casemate call show plant/score ID --wait 30
            """)
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Option(help: "JSON to send; @FILE reads a file, @- standard input.") var data: String?
    @Option(help: "What follows the function in the path, with a query.") var path = ""
    @Option(help: "HTTP method; default POST with --data, else GET.") var method: String?
    @Option(name: [.short, .customLong("header")], help: "A header field, 'Name: value'. May stand several times.") var headers: [String] =
        []
    @Option(help: "Seconds to wait for the answer.") var timeout = 960
    @Flag(name: .customLong("async"), help: "Do not wait for the answer.") var isAsync = false
    @Option(help: "With --async: calls of one key run one after the other, as they came.") var key: String?
    @Option(help: "With --async: the same request under the same key is one call.") var idempotencyKey: String?
    @Flag(help: "Print {status, headers, response, callId} as JSON.") var json = false

    private struct ServerView: Decodable { var gatewayUrl: String }

    func run() async throws {
        let body = try data.map(Self.read)
        var fields = HTTPHeaders()
        if body != nil { fields.add(name: "Content-Type", value: "application/json") }
        for header in headers {
            guard let colon = header.firstIndex(of: ":") else {
                throw CommandFailure("--header \(header): write it as 'Name: value'", code: 2)
            }
            fields.replaceOrAdd(
                name: String(header[..<colon]), value: header[header.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        guard isAsync || (key == nil && idempotencyKey == nil) else {
            throw CommandFailure("--key and --idempotency-key go with --async", code: 2)
        }
        if isAsync { fields.replaceOrAdd(name: "Prefer", value: "respond-async") }
        if let key { fields.replaceOrAdd(name: "Casemate-Key", value: key) }
        if let idempotencyKey { fields.replaceOrAdd(name: "Idempotency-Key", value: "\"\(idempotencyKey)\"") }
        guard path.isEmpty || path.hasPrefix("/") || path.hasPrefix("?") else { throw CommandFailure("--path starts with / or ?", code: 2) }
        try await APIClient.with { [fields] client in
            let server: ServerView = try await client.json(.GET, "/v1/server")
            let call = {
                try await client.raw(
                    HTTPMethod(rawValue: method?.uppercased() ?? (body == nil ? "GET" : "POST")),
                    "\(server.gatewayUrl)/f/\(function)\(path)", body: body.map { .bytes(ByteBuffer(bytes: $0)) }, headers: fields,
                    timeout: .seconds(Int64(timeout)))
            }
            var answer = try await call()
            if answer.status == 428, APIClient.problem(answer).code == .consentRequired, Self.canAsk {
                let sheet: TrustSheetItem = try await client.json(.GET, "\(function.apiPath)/trust")
                sheet.show()
                try sheet.ask()
                _ = try await sheet.agree(client)
                answer = try await call()
            }
            if isAsync, answer.status == 202, !json, let id = answer.headers.first(name: "casemate-call-id") {
                if !Terminal.isInteractive { return Terminal.line(id) }
                Terminal.line("call \(id) is accepted")
                return Terminal.line("  what becomes of it  casemate call show \(function) \(id) --wait 60")
            }
            try show(answer)
        }
    }

    /// Somebody is there, and nothing reads what is printed.
    private static var canAsk: Bool { isatty(0) == 1 && isatty(1) == 1 && isatty(2) == 1 }

    private func show(_ answer: APIClient.Answer) throws {
        if json {
            var headers: [String: String] = [:]
            for (name, value) in answer.headers {
                headers[name.lowercased(), default: ""] += (headers[name.lowercased()] == nil ? "" : ", ") + value
            }
            let text = String(decoding: answer.body, as: UTF8.self)
            let response = (try? JSONSerialization.jsonObject(with: Data(answer.body), options: .fragmentsAllowed)) ?? text
            let wrapped: [String: Any] = [
                "status": answer.status, "headers": headers, "response": response, "callId": headers["casemate-call-id"] ?? "",
            ]
            Terminal.write(
                [UInt8](try JSONSerialization.data(withJSONObject: wrapped, options: [.sortedKeys, .withoutEscapingSlashes])) + [10])
        } else if (200..<300).contains(answer.status) || answer.headers.first(name: "content-type") != "application/problem+json" {
            Terminal.write(answer.body)
            if Terminal.isInteractive, answer.body.last != 10 { Terminal.line("") }
        }
        guard !(200..<300).contains(answer.status) else { return }
        let problem = APIClient.problem(answer)
        let isOurs = answer.headers.first(name: "content-type") == "application/problem+json"
        let call = answer.headers.first(name: "casemate-call-id") ?? ""
        // What was refused never ran; what failed did.
        let refusals: Set<Int> = [400, 401, 403, 404, 413, 414, 422, 428, 429, 431, 503]
        let message =
            isOurs
            ? "\(problem.code.title): \(problem.detail) (call \(call))"
            : "the function answered with status \(answer.status) (call \(call))"
        throw CommandFailure(json ? "" : message, code: isOurs && refusals.contains(answer.status) ? 2 : 1)
    }

    private static func read(_ data: String) throws -> [UInt8] {
        if data == "@-" { return [UInt8](FileHandle.standardInput.readDataToEndOfFile()) }
        guard data.hasPrefix("@") else { return Array(data.utf8) }
        guard let bytes = FileManager.default.contents(atPath: String(data.dropFirst())) else {
            throw CommandFailure("\(data.dropFirst()) can't be read", code: 2)
        }
        return [UInt8](bytes)
    }
}

struct Logs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a function printed.", discussion: "Each line: time, stream, call id, text. Secrets stand as [secret:NAME].")
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Flag(name: .shortAndLong, help: "Go on with new lines until Ctrl-C.") var follow = false
    @Option(help: "Only this call's lines.") var call: String?
    @Option(name: [.customShort("n"), .long], help: "How many of the newest lines.") var tail = 1000
    @OptionGroup var output: OutputOptions

    struct Page: Codable {
        struct Line: Codable {
            var time: String
            var stream: String
            var callId: String?
            var message: String
        }

        var lines: [Line]
        var cursor: UInt64
    }

    func run() async throws {
        if let call, CallId(call) == nil { throw CommandFailure("--call is a call's id, a UUID", code: 2) }
        guard (0...10_000).contains(tail) else { throw CommandFailure("--tail is 0 to 10000", code: 2) }
        let only = call.map { "&call=\($0)" } ?? ""
        try await APIClient.with { client in
            var page: Page = try await client.json(.GET, "\(function.apiPath)/logs?tail=\(tail)\(only)")
            try show(page.lines)
            while follow {
                page = try await client.json(.GET, "\(function.apiPath)/logs?after=\(page.cursor)&wait=20\(only)")
                try show(page.lines)
            }
        }
    }

    private func show(_ lines: [Page.Line]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        for line in lines {
            if output.json {
                Terminal.write([UInt8](try encoder.encode(line)) + [10])
            } else {
                let head = Terminal.coloured("\(line.time) \(line.stream) \(line.callId ?? "-")", .dim)
                Terminal.line("\(head) \(Terminal.visible(line.message))")
            }
        }
    }
}

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show the server's configuration.", subcommands: [Show.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print every setting with its value, and where that comes from: flag, environment, file or default.")
        @OptionGroup var options: ServerOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let effective = try options.effective()
            _ = try ServerOptions.settings(effective)
            let rows = effective.values.mapValues { (value: ServerSettings.masked($0.value), source: $0.source) }.sorted { $0.key < $1.key }
            if output.json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
                let object = Dictionary(
                    uniqueKeysWithValues: rows.map { ($0.key, ["value": $0.value.value, "source": $0.value.source.rawValue]) })
                return Terminal.write([UInt8](try encoder.encode(object)) + [10])
            }
            Terminal.table(["SETTING", "VALUE", "FROM"], rows.map { [$0.key, $0.value.value, $0.value.source.rawValue] })
        }
    }
}
