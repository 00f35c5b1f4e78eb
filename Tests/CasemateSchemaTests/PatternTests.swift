import Testing

@testable import CasemateSchema

/// What patterns find stands in Tests/support/schema_cases.py, where Python's are asked too.
@Suite("Patterns of ECMA-262")
struct PatternTests {
    private func finds(_ pattern: String, _ text: String, work: Int = 4_000_000) throws -> Bool? {
        var work = work
        return try #require(PatternMatcher()).finds(Pattern(pattern), in: JSONString(text), work: &work)
    }

    @Test(
        "are found anywhere, by code points, up to the very end",
        arguments: [
            ("b", "abc", true), ("^b", "abc", false), ("^a$", "a\n", false), ("^.$", "😀", true), ("^.$", "\u{2028}", false),
            (#"^\s$"#, "\u{feff}", true), (#"^\s$"#, "\u{85}", false), (#"^\d$"#, "٣", false), (#"^[^\S]$"#, "\u{3000}", true),
            ("[]", "a", false), ("^[^]$", "\n", true), ("^[[:alpha:]]$", "a]", true), (#"^\v$"#, "\u{b}", true), (#"^\v$"#, "\n", false),
            (#"\B"#, "", true), ("", "", true), ("^$", "", true), (#"^\p{Lu}$"#, "É", true), (#"^\p{sc=Greek}$"#, "α", true),
            ("^{x}{2}$", "{x}}", true), (#"^\ud83d\ude00$"#, "😀", true), (#"^\u{1f600}$"#, "😀", true), ("^é$", "e\u{301}", false),
        ])
    func found(pattern: String, text: String, isFound: Bool) throws { #expect(try finds(pattern, text) == isFound) }

    @Test(
        "of other engines are refused",
        arguments: [
            "(*MARK:a)", "(*UTF)a", "(*LIMIT_MATCH=1)a", "(?C)a", "(?C1)a", "(?R)", "(?0)", "(?&a)", "(?P<a>b)", "(?P>a)", "(?i)a",
            "(?i:a)", "(?>a)", "(?|a)", "(?#a)", "(?(1)a)", "(?'a'b)", "(?", "(?<", "(?<>a)", "(?<1>a)", "a++", "a**", "a*+", "a{1}{2}",
            "*", "?", "{1}", "^*", "(*)", "(|*)", #"\b+"#, "(?=a)*", "a{,2}", "a{2,1}", "a{99999}", "(", ")", "(a", "a)", "[", "[a",
            "[b-a]", #"[\w-a]"#, #"[a-\d]"#, #"\"#, #"[\"#, #"\1"#, #"\k<a>"#, #"\01"#, #"\A"#, #"\Z"#, #"\z"#, #"\G"#, #"\K"#, #"\Qa\E"#,
            #"\C"#, #"\R"#, #"\X"#, #"\N"#, #"\h"#, #"\e"#, #"\a"#, #"[\B]"#, #"\c1"#, #"\x4"#, #"\u12"#, #"\ud800"#, #"\ud800\u0041"#,
            #"\u{}"#, #"\u{110000}"#, #"\u{12"#, #"\p"#, #"\p{"#, #"\p{Latin}"#, #"\p{sc=}"#, #"\p{sc=Nobody}"#, #"\é"#, "(?<=a+)b",
            String(repeating: "(", count: 51), String(repeating: "a", count: 1025), "((a{1,100}){1,100}){1,100}",
        ])
    func refused(pattern: String) { #expect(throws: PatternFault.self) { try Pattern(pattern) } }

    /// The budget is that of a whole check, and ends each of these within a fraction of a second.
    @Test(
        "that would go on are ended, and found to be neither one nor the other",
        arguments: [
            ("^(a+)+$", String(repeating: "a", count: 5000) + "!"), ("^(a|aa)+$", String(repeating: "a", count: 5000) + "!"),
            (#"^(\w+\s?)*$"#, String(repeating: "a", count: 5000) + "!"), ("a*a*a*a*b", String(repeating: "a", count: 5000) + "cb"),
            ("[a-z]+1[a-z]+@x", String(repeating: "a", count: 100_000) + "1" + String(repeating: "a", count: 100_000) + "@"),
            ("(?=.*x)y", String(repeating: "zx", count: 100_000) + "y"),
            (
                #"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$"#,
                String(repeating: "a", count: 5000)
            ),
        ])
    func ended(pattern: String, text: String) throws {
        let clock = ContinuousClock()
        var found: Bool?
        let time = try clock.measure { found = try finds(pattern, text) }
        #expect(found != true)
        #expect(time < .seconds(20))
    }

    @Test("cost the same each time, and no more than they were given")
    func metered() throws {
        let matcher = try #require(PatternMatcher())
        let pattern = try Pattern("^(a|aa)+$")
        let text = JSONString(String(repeating: "a", count: 24) + "!")
        var spent: [Int] = []
        for _ in 0..<2 {
            var work = 4_000_000
            #expect(matcher.finds(pattern, in: text, work: &work) == false)
            spent.append(4_000_000 - work)
        }
        #expect(spent[0] == spent[1] && spent[0] > 1000)
        var little = spent[0] / 2
        #expect(matcher.finds(pattern, in: text, work: &little) == nil)
        #expect(little <= 0)
    }

    @Test("a long text that is looked at once is no trouble")
    func long() throws {
        let image = "data:image/png;base64," + String(repeating: "aB0+", count: 500_000)
        #expect(try finds("^data:[a-z/]+;base64,[A-Za-z0-9+/]*=*$", image) == true)
        #expect(try finds(".*foo.*", String(repeating: "a", count: 500_000)) == false)
    }
}
