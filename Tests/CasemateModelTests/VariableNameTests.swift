import Testing

@testable import CasemateModel

@Suite("Names of variables and secrets")
struct VariableNameTests {
    @Test(
        "1 to 128 of letters, digits, _ and - is a name",
        arguments: ["a", "_", "_1", "DB_URL", "db-url", "aZ09_-", String(repeating: "x", count: 128)])
    func taken(text: String) { #expect(VariableName(text)?.text == text) }

    @Test(
        "anything else is none",
        arguments: [
            "", String(repeating: "x", count: 129), "1A", "9", "-a", "-", "a=b", "=", "a b", "a\0", "a\n", "ä", "\u{ff21}", "\u{212a}",
            "a.b", "a/b", "$A", "\u{410}",
        ])
    func refused(text: String) { #expect(VariableName(text) == nil) }

    @Test(
        "names that change how an interpreter starts are reserved",
        arguments: [
            "PATH", "HOME", "IFS", "BASH_ENV", "ENV", "SHELL", "NODE_OPTIONS", "NODE_PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT",
            "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONWARNINGS", "CASEMATE_X_SOCKET", "CASEMATE_", "GLIBC_TUNABLES",
            "MALLOC_CHECK_",
        ])
    func reserved(text: String) throws { #expect(try #require(VariableName(text)).isReserved) }

    @Test(
        "names that only look like them are not",
        arguments: ["MY_PATH", "path", "PATHS", "HOMEPAGE", "MY_LD_", "LDAP_URL", "DB_PYTHON", "ENVIRONMENT"])
    func ordinary(text: String) throws { #expect(try !#require(VariableName(text)).isReserved) }
}
