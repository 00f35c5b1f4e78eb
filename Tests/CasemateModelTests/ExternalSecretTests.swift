import Testing

@testable import CasemateModel

@Suite("A secret that is kept elsewhere")
struct ExternalSecretTests {
    @Test(
        "is named by where it is",
        arguments: [
            "aws-sm://prod/db", "aws-sm://eu-west-1/prod/db?stage=AWSPREVIOUS&key=password", "file://db", "file://plant/db.txt",
            "credential://db", "aws-sm://a_b-c.d+e=f@g",
        ])
    func taken(text: String) { #expect(ExternalSecret(text)?.description == text) }

    @Test(
        "is refused in any other form",
        arguments: [
            "", "prod/db", "aws-sm:/prod", "aws-sm://", "vault://x", "AWS-SM://x", "file:///etc/passwd", "file://../x", "file://a/../b",
            "file://a//b", "file://a/", "file://./a", "file://a b", "file://a\u{0}b", "file://a\nb", "file://ä", "file://a?b c",
            "file://a#b",
            "file://a?b?c", "file://$(x)", "file://" + String(repeating: "a", count: 2000),
        ])
    func refused(text: String) { #expect(ExternalSecret(text) == nil) }

    @Test("may be used where a policy names it, or a path above it, and nowhere else")
    func patterns() throws {
        func allows(_ pattern: String, _ secret: String) throws -> Bool {
            try #require(SecretSourcePattern(pattern)).allows(try #require(ExternalSecret(secret)))
        }
        #expect(try allows("file://plant/db", "file://plant/db"))
        #expect(try allows("file://plant/db", "file://plant/db?key=x"))
        #expect(try allows("file://plant/*", "file://plant/db"))
        #expect(try allows("file://plant/*", "file://plant/a/b"))
        #expect(try allows("file://*", "file://anything/at/all"))
        for (pattern, secret) in [
            ("file://plant/db", "file://plant/db2"), ("file://plant/db", "file://plant/db/x"), ("file://plant/*", "file://plant2/db"),
            ("file://plant/*", "file://plant"), ("file://plant/*", "aws-sm://plant/db"), ("file://plant/db", "file://PLANT/db"),
            ("file://*", "credential://db"),
        ] { #expect(try !allows(pattern, secret), "\(pattern) \(secret)") }
    }

    @Test(
        "is not named by a pattern that could mean more than it says",
        arguments: ["", "*", "file:*", "file://pl*", "file://*/db", "vault://*", "file://../*", "file://a/*?x=1", "file://a?x=1"])
    func badPatterns(text: String) { #expect(SecretSourcePattern(text) == nil) }
}
