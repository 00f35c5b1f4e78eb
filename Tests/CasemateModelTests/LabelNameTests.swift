import Testing

@testable import CasemateModel

@Suite("Names of namespaces and functions")
struct LabelNameTests {
    static let good = [
        "a", "7", "a-b", "a--b", "resize", "0-9", String(repeating: "a", count: 63), "x" + String(repeating: "-", count: 61) + "y",
    ]

    static let bad = [
        "", String(repeating: "a", count: 64), "-", "-a", "a-", "--", "A", "aB", "a_b", "a.b", "a/b", "..", "a b", " a", "a ", "a\n", "a\0",
        "\0a",
        "a\0b", "\u{430}", "\u{ff41}", "a\u{301}", "é", "a\u{200b}", "a\u{2010}b", "\u{17f}", "\u{212a}", "\u{663}", "%61", "a\u{ad}b",
    ]

    @Test("1 to 63 of a-z, 0-9 and inner dashes is a name", arguments: good)
    func taken(text: String) {
        #expect(NamespaceName(text)?.text == text)
        #expect(FunctionLabel(text)?.description == text)
    }

    @Test("anything else is none", arguments: bad)
    func refused(text: String) {
        #expect(NamespaceName(text) == nil)
        #expect(FunctionLabel(text) == nil)
        #expect(FunctionName("ns/\(text)") == nil)
        #expect(FunctionName("\(text)/fn") == nil)
    }

    @Test("a function's full name is two names and one slash")
    func full() throws {
        let name = try #require(FunctionName("team/resize"))
        #expect(name.namespace.text == "team")
        #expect(name.function.text == "resize")
        #expect(name.description == "team/resize")
    }

    @Test(
        "more or fewer slashes are none",
        arguments: ["", "/", "team", "team/", "/resize", "team//resize", "team/resize/", "/team/resize", "a/b/c"])
    func slashes(text: String) { #expect(FunctionName(text) == nil) }

    @Test("names are in the order of their bytes")
    func order() {
        let names = ["a-b", "a", "a0", "b"].compactMap { FunctionLabel($0) }.sorted()
        #expect(names.map(\.text) == ["a", "a-b", "a0", "b"])
    }

    @Test("a function's name inside is the function's, then the namespace's")
    func inside() throws {
        let name = try #require(FunctionName("team/resize"))
        #expect(name.internalHost == "resize.team.internal")
        #expect(FunctionName(internalHost: "resize.team.internal") == name)
    }

    @Test(
        "what is no such name is none",
        arguments: [
            "", "internal", ".internal", "..internal", "resize.internal", "a.resize.team.internal", "resize.team.internal.",
            "RESIZE.team.internal",
            "resize.team.external", "resize..internal", ".team.internal", "resize.team", "resize.te_am.internal",
        ])
    func notInside(host: String) { #expect(FunctionName(internalHost: host) == nil) }
}
