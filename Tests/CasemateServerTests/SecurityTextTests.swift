import CasemateModel
import Foundation
import Testing

@testable import CasemateServer

@Suite("security.txt")
struct SecurityTextTests {
    private func fields(_ values: [String: String] = [:]) throws -> [String: String] {
        let settings = try ServerSettings(try SettingsTable.resolve(flags: values, environment: [:], file: [:]))
        var fields: [String: String] = [:]
        for line in SecurityText(settings).text.split(separator: "\n") {
            let colon = try #require(line.range(of: ": "))
            #expect(fields.updateValue(String(line[colon.upperBound...]), forKey: String(line[..<colon.lowerBound])) == nil)
        }
        return fields
    }

    @Test("it has a contact, and an expiry within a year from now, as RFC 9116 wants")
    func defaults() throws {
        let fields = try fields(["domain": "casemate.example"])
        #expect(fields["Contact"] == "mailto:security@casemate.example")
        let text = try #require(fields["Expires"])
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        let expires = try #require(formatter.date(from: text))
        #expect(expires > Date(timeIntervalSinceNow: 86_400))
        #expect(expires < Date(timeIntervalSinceNow: 366 * 86_400))
    }

    @Test("the operator's own values are used")
    func own() throws {
        let fields = try fields(["security-contact": "https://casemate.example/security", "security-expires": "2099-01-01T00:00:00Z"])
        #expect(fields["Contact"] == "https://casemate.example/security")
        #expect(fields["Expires"] == "2099-01-01T00:00:00Z")
    }
}
