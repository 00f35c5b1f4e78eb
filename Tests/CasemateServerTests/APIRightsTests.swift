import CasemateIdentity
import CasemateModel
import Foundation
import HTTPTypes
import Testing

@testable import CasemateServer

@Suite("Who may do what")
struct APIRightsTests {
    private static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden/rights.txt")

    private static let roles: [(name: String, principal: Principal)] = [
        ("anonymous", .anonymous), ("token", .functionToken(TokenId(), namespace: NamespaceId(), function: nil)),
        ("administrator", .administrator(KeyId())),
    ]

    private func matrix(_ routes: [APIRoute]) -> String {
        let rows = routes.map { route in
            [route.method.rawValue, route.path, route.right.rawValue] + Self.roles.map { $0.principal.has(route.right) ? "yes" : "no" }
        }.sorted { ($0[1], $0[0]) < ($1[1], $1[0]) }
        let table = [["method", "path", "right"] + Self.roles.map(\.name)] + rows
        let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            let line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
        }.joined()
    }

    @Test("who may do what is as the golden file says; CASEMATE_UPDATE_GOLDEN=1 writes it anew")
    func golden() async throws {
        try await withRoutes { routes throws in
            let now = matrix(routes)
            if ProcessInfo.processInfo.environment["CASEMATE_UPDATE_GOLDEN"] == "1" {
                try FileManager.default.createDirectory(at: Self.golden.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(now.utf8).write(to: Self.golden)
            }
            let wanted = try String(contentsOf: Self.golden, encoding: .utf8)
            let lines = Set(now.split(separator: "\n"))
            let before = Set(wanted.split(separator: "\n"))
            #expect(lines.subtracting(before).sorted() == [], "new or changed")
            #expect(before.subtracting(lines).sorted() == [], "gone")
            #expect(now == wanted)
        }
    }

    @Test("three operations are anyone's, and no other")
    func anyone() async throws {
        try await withRoutes { routes throws in
            #expect(
                Set(routes.filter { $0.right == .anyone }.map { "\($0.method.rawValue) \($0.path)" }) == [
                    "GET /healthz", "GET /readyz", "GET /.well-known/security.txt",
                ])
        }
    }

    @Test("no operation is listed twice")
    func unique() async throws {
        try await withRoutes { routes throws in
            #expect(routes.count > 15)
            #expect(Set(routes.map { "\($0.method.rawValue) \($0.path)" }).count == routes.count)
        }
    }

    @Test("what changes something needs more than a right to read")
    func writes() async throws {
        try await withRoutes { routes throws in
            for route in routes where route.method != .get {
                #expect(![Right.anyone, .functionRead, .logsRead, .sourceRead].contains(route.right), "\(route.method) \(route.path)")
            }
        }
    }
}
