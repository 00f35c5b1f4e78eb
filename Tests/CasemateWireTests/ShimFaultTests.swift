import Testing

@testable import CasemateWire

@Suite("Faults as a shim words them")
struct ShimFaultTests {
    private func fault(_ text: String) -> ShimFault { ShimFault(meta: Array(text.utf8)) }

    @Test("code, file, line and message are taken apart")
    func parts() {
        #expect(
            fault("import-error\0app/handler.py\0" + "12\0No module named x")
                == ShimFault(code: "import-error", file: "app/handler.py", line: 12, message: "No module named x"))
    }

    @Test("file and line are empty where there is none")
    func noPlace() {
        #expect(fault("too-large\0\0\0over 250 MiB") == ShimFault(code: "too-large", message: "over 250 MiB"))
    }

    @Test("a NUL in the message stays in the message")
    func nul() { #expect(fault("too-large\0\0\0a\0b").message == "a\0b") }

    @Test(
        "whatever is odd becomes a plain fault of the sandbox",
        arguments: [
            "", "\0", "\0\0\0", "code", "code\0file", "code\0file\0" + "1", "\0f\0" + "1\0m", "Code\0f\0" + "1\0m", "co de\0f\0" + "1\0m",
            "cöde\0f\0" + "1\0m",
        ])
    func odd(text: String) {
        let found = fault(text)
        #expect(found.code == "sandbox-fault")
        #expect(found.file == nil && found.line == nil)
    }

    @Test("a line that is no number is none")
    func oddLine() {
        #expect(fault("syntax-error\0f.py\0seven\0m").line == nil)
        #expect(fault("syntax-error\0f.py\0" + "99999999999999999999\0m").line == nil)
    }

    @Test("random bytes give a code of letters and dashes, and no trap")
    func random() {
        var random = WireRandom(seed: 4)
        for _ in 0..<2000 {
            let length = Int.random(in: 0...40, using: &random)
            let bytes = (0..<length).map { _ in
                [0, 0, 45, 97, 122, 255, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random)!
            }
            let found = ShimFault(meta: bytes)
            #expect(!found.code.isEmpty && found.code.utf8.allSatisfy { $0 == 45 || (97...122).contains($0) })
        }
    }

    @Test("fields are a tag, a length and a value")
    func fields() {
        var fields = ShimFields()
        fields.add(.handler, "a.b")
        fields.add(.secret, name: "K", value: [1, 0, 2])
        fields.add(.signature, "")
        #expect(fields.bytes == [1, 0, 0, 0, 3, 97, 46, 98] + [4, 0, 0, 0, 5, 75, 0, 1, 0, 2] + [2, 0, 0, 0, 0])
    }
}
