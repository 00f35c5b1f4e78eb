import Testing

@Suite("Capabilities and identity in a manifest")
struct ManifestCapabilitiesTests {
    @Test("what is none is named with its line and the form that is", arguments: answers)
    func check(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    private static let rule = "write it as NAMESPACE/FUNCTION:RIGHT; rights: invoke, read, logs:read, source:read"
    private static let audience = "write what the other side expects in aud: up to 255 visible characters of ASCII"

    static let answers: [Answer] =
        [
            "plant/lookup", "plant:invoke", "plant/lookup:", "plant/lookup:call", "plant/*:invoke", "Plant/lookup:invoke",
            "plant/lookup:token:write", "plant/lookup:namespace:admin", "plant/lookup:function:deploy", "plant/lookup:deploy",
            "plant/lookup:platform:admin", "plant/lookup:invoke:", "plant/lookup:egress:ip", "plant/lookup:secret:write",
        ].map { .line6("capabilities: [\"\($0)\"]", "\"\($0)\" under capabilities is no capability; \(rule)") } + [
            .line6(
                "capabilities: plant/lookup:invoke", "capabilities takes a list, not a single value; write it as [\"plant/lookup:invoke\"]"),
            .line6("capabilities: [a/b:invoke, a/b:function:invoke]", "a/b:invoke is given again, first on line 6; keep one of them"),
            .line6("identity: https://sts", "identity takes a list, not a single value; write it as [\"https://sts.example.com\"]"),
            .line6("identity: [\"a b\"]", "\"a b\" under identity is no audience; \(audience)"),
            .line6("identity: [\"\"]", "\"\" under identity is no audience; \(audience)"),
            .line6("identity: [a, a]", "a is given again, first on line 6; keep one of them"),
            .line6(
                "identity: [\((0...16).map { "a\($0)" }.joined(separator: ", "))]",
                "identity has more than 16 entries; remove those that are not needed"),
        ]
}
