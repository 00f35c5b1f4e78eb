import CasemateIdentity
import CasemateModel
import Foundation
import HTTPTypes
import Testing
import Yams

@testable import CasemateServer

@Suite("The OpenAPI document")
struct OpenAPITests {
    private static let document = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("deploy/openapi/openapi.yaml")
    private static let methods: Set<String> = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]

    private func root() throws -> Node.Mapping {
        try #require(try Yams.compose(yaml: try String(contentsOf: Self.document, encoding: .utf8))?.mapping)
    }

    @Test("it has exactly the operations that the server has")
    func operations() async throws {
        var documented: Set<String> = []
        for (path, item) in try #require(try root()["paths"]?.mapping) {
            for (method, _) in try #require(item.mapping) where Self.methods.contains(method.string ?? "") {
                documented.insert("\(method.string?.uppercased() ?? "") \(path.string ?? "")")
            }
        }
        try await withRoutes { routes throws in
            let served = Set(routes.map { "\($0.method.rawValue) \($0.path)" })
            #expect(served.subtracting(documented).sorted() == [], "served, but not in the document")
            #expect(documented.subtracting(served).sorted() == [], "in the document, but not served")
        }
    }

    @Test("each operation names the right that the server asks for")
    func rights() async throws {
        let paths = try #require(try root()["paths"]?.mapping)
        try await withRoutes { routes throws in
            for route in routes {
                let operation = paths[Node(route.path)]?[route.method.rawValue.lowercased()]
                #expect(operation?["x-casemate-right"]?.string == "\(route.need)", "\(route.method.rawValue) \(route.path)")
            }
        }
    }

    @Test("it is of this release")
    func version() throws {
        #expect(try root()["info"]?["version"]?.string == CasemateVersion.text)
        #expect(try root()["openapi"]?.string?.hasPrefix("3.") == true)
    }

    @Test("every operation's path parameters are declared")
    func parameters() throws {
        for (path, item) in try #require(try root()["paths"]?.mapping) {
            let text = path.string ?? ""
            let wanted = Set(text.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) })
            for (method, operation) in try #require(item.mapping) where Self.methods.contains(method.string ?? "") {
                let nodes = Array(item["parameters"]?.sequence ?? []) + Array(operation["parameters"]?.sequence ?? [])
                let declared = try nodes.map { try resolved($0) }.filter { $0["in"]?.string == "path" }.compactMap { $0["name"]?.string }
                #expect(Set(declared) == wanted, "\(method.string ?? "") \(text)")
            }
        }
    }

    /// What a `$ref` within the document leads to.
    private func resolved(_ node: Node) throws -> Node {
        guard let reference = node["$ref"]?.string else { return node }
        var found = Node.mapping(try root())
        for part in reference.split(separator: "/").dropFirst() { found = try #require(found[String(part)], "\(reference)") }
        return found
    }
}
