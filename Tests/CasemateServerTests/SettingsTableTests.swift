import CasemateModel
import Testing

@testable import CasemateServer

@Suite("Where a setting comes from")
struct SettingsTableTests {
    private func resolved(flags: [String: String] = [:], environment: [String: String] = [:], file: [String: String] = [:]) throws
        -> SettingsTable.Effective
    {
        try SettingsTable.resolve(flags: flags, environment: environment, file: file)
    }

    @Test("a flag overrides the environment, that the file, that the default", arguments: SettingsTable.all.map(\.key))
    func precedence(key: String) throws {
        let setting = try #require(SettingsTable.all.first { $0.key == key })
        let flags = [key: "flag"]
        let environment = [setting.variable: "environment"]
        let file = [key: "file"]
        func expect(_ effective: SettingsTable.Effective, _ value: String, _ source: SettingsTable.Source) {
            #expect(effective.text(key) == value)
            #expect(effective.values[key]?.source == source)
        }
        expect(try resolved(flags: flags, environment: environment, file: file), "flag", .flag)
        expect(try resolved(environment: environment, file: file), "environment", .environment)
        expect(try resolved(file: file), "file", .file)
        expect(try resolved(), setting.fallback, .fallback)
    }

    @Test("every setting has a value, and only settings have")
    func complete() throws {
        let effective = try resolved(environment: ["CASEMATE_NONE": "x", "PATH": "/bin", "POOL_SIZE": "9"])
        #expect(Set(effective.values.keys) == Set(SettingsTable.all.map(\.key)))
        #expect(effective.text("pool-size") == "4")
        #expect(effective.text("none") == "")
    }

    @Test("an empty variable is as good as none")
    func emptyVariable() throws {
        #expect(try resolved(environment: ["CASEMATE_POOL_SIZE": ""], file: ["pool-size": "7"]).text("pool-size") == "7")
    }

    @Test("keys are unique, and their variables too")
    func unique() {
        #expect(Set(SettingsTable.all.map(\.key)).count == SettingsTable.all.count)
        #expect(Set(SettingsTable.all.map(\.variable)).count == SettingsTable.all.count)
        #expect(SettingsTable.all.first { $0.key == "max-request-bytes" }?.variable == "CASEMATE_MAX_REQUEST_BYTES")
        for setting in SettingsTable.all {
            #expect(setting.key.utf8.allSatisfy { (97...122).contains($0) || $0 == 45 } && !setting.help.isEmpty)
        }
    }

    @Test(
        "an unknown key of the file is an error that names the nearest known one",
        arguments: [("pool_size", "pool-size"), ("lisen", "listen"), ("tls-crt", "tls-cert"), ("Gateway", "gateway"), ("domian", "domain")])
    func unknown(key: String, near: String) throws {
        let problem = #expect(throws: Problem.self) { try resolved(file: [key: "x", "listen": "127.0.0.1:1"]) }
        #expect(problem?.code == .invalidRequest)
        #expect(problem?.detail.contains("\"\(key)\"") == true)
        #expect(problem?.detail.contains("did you mean \"\(near)\"") == true)
    }

    @Test(
        "the distance of two words is Levenshtein's",
        arguments: [
            ("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0), ("ab", "ba", 2),
        ])
    func distance(left: String, right: String, wanted: Int) {
        #expect(NearMiss.distance(left, right) == wanted)
        #expect(NearMiss.distance(right, left) == wanted)
    }
}
