import Foundation
import Testing

@testable import CasemateModel

@Suite("Names in JSON")
struct LabelNameCodingTests {
    @Test("a name that breaks the rule does not decode, and the problem says the rule")
    func refused() throws {
        let error = #expect(throws: Problem.self) { try JSONDecoder().decode([NamespaceName].self, from: Data(#"["No"]"#.utf8)) }
        #expect(error?.code == .invalidName)
        #expect(error?.detail == NamespaceName.rule)
        #expect(throws: Problem.self) { try JSONDecoder().decode([VariableName].self, from: Data(#"["1A"]"#.utf8)) }
        #expect(throws: Problem.self) { try JSONDecoder().decode([FunctionId].self, from: Data(#"["x"]"#.utf8)) }
    }

    @Test("names and ids are plain strings")
    func plain() throws {
        let id = FunctionId()
        #expect(String(decoding: try JSONEncoder().encode([id]), as: UTF8.self) == "[\"\(id)\"]")
        #expect(try JSONDecoder().decode([FunctionId].self, from: JSONEncoder().encode([id])) == [id])
        #expect(String(decoding: try JSONEncoder().encode(FunctionLabel("resize")), as: UTF8.self) == "\"resize\"")
        #expect(try JSONDecoder().decode([VariableName].self, from: Data(#"["DB_URL"]"#.utf8)) == [try #require(VariableName("DB_URL"))])
    }
}
