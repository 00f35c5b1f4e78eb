import Testing

@testable import CasemateAWS

@Suite("Secrets Manager, against moto", .moto)
struct SecretsManagerTests {
    private func value(_ address: String) async throws -> [UInt8] {
        guard case .secret(let parsed) = try AWSAddress(address + (address.contains("?") ? "&" : "?") + "endpoint=\(Moto.endpoint)") else {
            return []
        }
        let secrets = try SecretsManager(region: parsed.region, endpoint: parsed.endpoint, credentials: .test())
        return try await secrets.value(at: parsed)
    }

    @Test("text, bytes, a field of JSON and the version before are read")
    func values() async throws {
        #expect(try await value("aws-sm://eu-west-1/plant/text") == Array("grün\n".utf8))
        #expect(try await value("aws-sm://eu-west-1/plant/binary") == Array(0...255))
        #expect(try await value("aws-sm://eu-west-1/plant/json?key=password") == Array("p\"wü".utf8))
        #expect(try await value("aws-sm://eu-west-1/plant/json?key=port") == Array("5432".utf8))
        #expect(try await value("aws-sm://eu-west-1/plant/json?key=tls") == Array("true".utf8))
        #expect(try await value("aws-sm://eu-west-1/plant/turned") == Array("second".utf8))
        #expect(try await value("aws-sm://eu-west-1/plant/turned?stage=AWSPREVIOUS") == Array("first".utf8))
    }

    @Test("what is not there is refused, and a field that is none says so without the value")
    func missing() async throws {
        for address in ["plant/none", "plant/text?stage=AWSPREVIOUS", "plant/text?stage=Nothing"] {
            let error = await awsError { try await value("aws-sm://eu-west-1/\(address)") }
            // With 400 at AWS, 404 at moto.
            #expect(error?.code == "ResourceNotFoundException", "\(address) \(String(describing: error))")
        }
        for (address, hint) in [
            ("plant/text?key=a", "no JSON object"), ("plant/binary?key=a", "no JSON object"), ("plant/json?key=list", "no text"),
            ("plant/json?key=none", "no text"), ("plant/json?key=passwort", "no field"),
        ] {
            let error = await awsError { try await value("aws-sm://eu-west-1/\(address)") }
            #expect(error?.isMalformed == true && error?.description.contains(hint) == true, "\(address) \(String(describing: error))")
        }
    }
}
