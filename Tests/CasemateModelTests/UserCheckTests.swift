import CasemateModel
import Testing

@Suite("Words of an author's own check")
struct UserCheckTests {
    @Test(
        "a command is parted at its spaces, and quotes hold together",
        arguments: [
            ("pytest", ["pytest"]), ("pytest -q tests", ["pytest", "-q", "tests"]), ("  pytest   -q ", ["pytest", "-q"]),
            ("pytest -k 'a or b'", ["pytest", "-k", "a or b"]), ("pytest -k \"it's\"", ["pytest", "-k", "it's"]),
            ("pytest ''", ["pytest", ""]), ("a'b c'd", ["ab cd"]), ("", []), ("pytest $HOME *", ["pytest", "$HOME", "*"]),
        ] as [(String, [String])])
    func words(command: String, words: [String]) { #expect(UserCheck.words(of: command) == words) }

    @Test("a quote that is not closed is a fault", arguments: ["pytest 'a", "\"", "a\"b"])
    func open(command: String) { #expect(UserCheck.words(of: command) == nil) }
}
