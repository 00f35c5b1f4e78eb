import Testing

@testable import CasemateModel

@Suite("Problems")
struct ProblemTests {
    @Test("no two codes share a type, and the list has as many as there are")
    func unique() {
        #expect(Set(Problem.Code.all.map(\.type)).count == Problem.Code.all.count)
        #expect(Set(Problem.Code.all.map(\.title)).count == Problem.Code.all.count)
        #expect(Problem.Code.all.count == 51)
    }

    @Test("every status is an error's", arguments: Problem.Code.all)
    func status(code: Problem.Code) { #expect((400...599).contains(code.status)) }

    @Test("a type is a relative reference of lower-case words", arguments: Problem.Code.all)
    func type(code: Problem.Code) {
        #expect(code.type == "/problems/\(code.slug)")
        #expect(code.slug.utf8.allSatisfy { (97...122).contains($0) || $0 == 45 })
        #expect(!code.title.isEmpty)
    }

    @Test("problems are equal by their code alone")
    func equality() {
        #expect(Problem(.notFound, "a") == Problem(.notFound, "b", reason: "c"))
        #expect(Problem(.notFound, "a") != Problem(.forbidden, "a"))
    }

    @Test("a diagnostic names place, fault and fix")
    func diagnostic() {
        #expect(
            Diagnostic(file: "casemate.yaml", line: 14, what: "no such field", fix: "remove it").description
                == "casemate.yaml:14: no such field; remove it")
        #expect(Diagnostic(.warning, file: "casemate.yaml", what: "unused").description == "casemate.yaml: warning: unused")
    }
}
