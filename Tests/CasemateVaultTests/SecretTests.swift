import Testing

@testable import CasemateVault

@Suite("Secret values")
struct SecretTests {
    private struct Holder {
        var name = "DB_URL"
        var secret = Secret(text: "hunter2-hunter2")
        var list = [Secret(text: "hunter2-hunter2")]
    }

    @Test("a secret shows its value nowhere but inside withBytes")
    func silent() {
        let secret = Secret(text: "hunter2-hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        var nested = ""
        dump(Holder(), to: &nested)
        var printed = ""
        print(secret, [secret], ["k": secret], Optional(secret) as Any, Holder(), to: &printed)
        let texts = [
            String(describing: secret), String(reflecting: secret), "\(secret)", secret.description, secret.debugDescription, dumped,
            nested, printed,
            "\(Holder())", String(reflecting: [secret]), String(describing: Optional(secret)),
            String(describing: Mirror(reflecting: secret)),
        ]
        for text in texts {
            #expect(!text.contains("hunter2"), "\(text)")
            // The bytes as numbers would be no better.
            #expect(!text.contains("104, 117"), "\(text)")
        }
        #expect(String(describing: secret) == "<redacted>")
        #expect(secret.withBytes { Array($0) } == Array("hunter2-hunter2".utf8))
    }

    @Test("a mirror of a secret has no children")
    func mirror() {
        let secret = Secret(text: "hunter2-hunter2")
        #expect(Mirror(reflecting: secret).children.isEmpty)
        #expect(secret.customMirror.children.isEmpty)
    }

    @Test("a secret knows its length, and hands on what is thrown")
    func bytes() {
        struct Stop: Error {}
        #expect(Secret([]).count == 0)
        #expect(Secret([0, 1, 0]).count == 3)
        #expect(throws: Stop.self) { try Secret([1]).withBytes { _ in throw Stop() } }
    }
}
