import Foundation
import Testing

@testable import CasemateAWS

@Suite("Credentials")
struct CredentialTests {
    private func read(_ text: String, profile: String = "default") throws(CredentialError) -> [String?] {
        let found = try CredentialsFile.credentials(in: Array(text.utf8), profile: profile)
        return [found.accessKey, found.secretKey, found.sessionToken].map { $0?.withText { String(cString: $0) } }
    }

    private static let good = "[default]\naws_access_key_id = AKID\naws_secret_access_key = a+b/c=\n"

    @Test("a profile is found by its name, among comments, other profiles and other fields")
    func profiles() throws {
        let text = """
            # comment
            ; comment
            [other] ; comment
            aws_access_key_id=OTHER
            aws_secret_access_key=other
            nested =
              aws_access_key_id = NO
            [ plant ]\r
              \t
            AWS_Access_Key_Id\t=\tAKID  \r
            aws_secret_access_key = s3cr#t;x=  # comment
            region = eu-west-1
            s3 =
                max_concurrent_requests = 10
            aws_session_token=to+ken==
            [last]
            aws_access_key_id=LAST
            """
        #expect(try read(text, profile: "plant") == ["AKID", "s3cr#t;x=", "to+ken=="])
        #expect(try read(text, profile: "other") == ["OTHER", "other", nil])
        #expect(try read("\u{FEFF}" + Self.good) == ["AKID", "a+b/c=", nil])
        #expect(try read(Self.good.replacing("\n", with: "\r\n")) == ["AKID", "a+b/c=", nil])
    }

    @Test(
        "what is wrong is told by its line, without the line",
        arguments: [
            ("", "no profile default"), ("aws_access_key_id = SECRET", "no profile default"), ("[Default]\n", "no profile default"),
            ("[default]\n", "has no aws_access_key_id"), ("[default]\naws_access_key_id = SECRET", "has no aws_secret_access_key"),
            ("[default]\naws_access_key_id =\n", "line 2"), ("[default]\nSECRET\n", "line 2"), ("[default]\n = SECRET\n", "line 2"),
            ("[default\nSECRET", "line 1"), ("[default] SECRET", "line 1"), ("\n[default]\n  aws_access_key_id = SECRET\n", "line 3"),
            ("[default]\n[default]\n", "line 2 of the credentials file: the profile is there twice"),
            (good + "aws_secret_access_key = SECRET\n", "line 4 of the credentials file: aws_secret_access_key is there twice"),
            ("[default]\naws_access_key_id = SEC RET\naws_secret_access_key = SECRET\n", "aws_access_key_id is none"),
            ("[default]\naws_access_key_id = SEC:RET\naws_secret_access_key = SECRET\n", "aws_access_key_id is none"),
            ("[default]\naws_access_key_id = AKID\naws_secret_access_key = SECRETü\n", "aws_secret_access_key is none"),
            ("[default]\naws_access_key_id = AKID\naws_secret_access_key = SEC\0RET\n", "aws_secret_access_key is none"),
            (String(repeating: "#SECRET\n", count: 10_000), "64 KiB"),
        ])
    func malformed(_ text: String, _ hint: String) {
        do {
            _ = try read(text)
            Issue.record("taken")
        } catch {
            #expect(error.description.contains(hint), "\(error)")
            #expect(!error.description.contains("SEC"))
        }
    }

    @Test("the environment's names are AWS's, and an empty one is as if missing")
    func environment() throws {
        let full = ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"]
        #expect(try AWSCredentials(environment: full).sessionToken != nil)
        #expect(try AWSCredentials(environment: full.merging(["AWS_SESSION_TOKEN": ""]) { $1 }).sessionToken == nil)
        #expect(throws: CredentialError.missing(.secretKey, profile: nil)) { try AWSCredentials(environment: ["AWS_ACCESS_KEY_ID": "A"]) }
        #expect(throws: CredentialError.missing(.accessKey, profile: nil)) { try AWSCredentials(environment: [:]) }
        #expect(throws: CredentialError.invalid(.secretKey)) {
            try AWSCredentials(environment: full.merging(["AWS_SECRET_ACCESS_KEY": "a\r\nb"]) { $1 })
        }
    }

    @Test("credentials show nothing when printed, dumped, mirrored or quoted")
    func redacted() throws {
        let secret = try AWSCredentials(accessKey: Array("AKIDX".utf8), secretKey: Array("hunter2".utf8), sessionToken: Array("tok3n".utf8))
        var dumped = ""
        dump(secret, to: &dumped)
        dump([secret], to: &dumped)
        dump((secret, secret.secretKey), to: &dumped)
        dump(CredentialSource.fixed(secret), to: &dumped)
        dump(try KMS(region: .test, credentials: .fixed(secret)), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), String(describing: [secret as AWSCredentials?]), dumped] {
            #expect(!text.contains("AKIDX") && !text.contains("hunter2") && !text.contains("tok3n"), "\(text)")
        }
        #expect(Mirror(reflecting: secret).children.isEmpty)
        #expect((secret as Any) as? any Encodable == nil)
    }

    @Test("a file is read anew when it has changed, been replaced, or come back")
    func watched() async throws {
        let folder = URL.temporaryDirectory.appending(path: "casemate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "credentials").path
        func write(_ key: String, to path: String, mode: Int = 0o600) throws {
            try "[default]\naws_access_key_id=\(key)\naws_secret_access_key=s\n".write(toFile: path, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        let source = CredentialSource.file(path)
        func key() async throws -> String { try await source.current().accessKey.withText { String(cString: $0) } }

        await #expect(throws: CredentialError.self) { try await key() }
        try write("AKIDA", to: path)
        #expect(try await key() == "AKIDA")
        #expect(try await key() == "AKIDA")
        try await Task.sleep(for: .milliseconds(10))
        try write("AKIDB", to: path)
        #expect(try await key() == "AKIDB")
        try write("AKIDC", to: path + ".new")
        #expect(rename(path + ".new", path) == 0)
        #expect(try await key() == "AKIDC")
        try FileManager.default.removeItem(atPath: path)
        await #expect(throws: CredentialError.self) { try await key() }
        try write("AKIDD", to: path, mode: 0o644)
        await #expect(throws: CredentialError.readableByOthers(path)) { try await key() }
        try write("AKIDD", to: path, mode: 0o640)
        #expect(try await key() == "AKIDD")
        try FileManager.default.removeItem(atPath: path)
        #expect(mkfifo(path, 0o600) == 0)
        await #expect(throws: CredentialError.readableByOthers(path)) { try await key() }
    }
}
