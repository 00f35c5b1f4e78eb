import Testing

@testable import CasemateAWS

@Suite("Addresses")
struct AddressTests {
    private static let id = "12345678-abcd-1234-abcd-1234567890ab"

    @Test("a KMS key is named by its id, an alias or an ARN")
    func kms() throws {
        for key in [
            Self.id, "mrk-1234567890abcdef1234567890abcdef", "alias/casemate", "alias/plant/kek_1",
            "arn:aws:kms:eu-west-1:123456789012:key/\(Self.id)", "arn:aws-us-gov:kms:eu-west-1:123456789012:alias/kek",
        ] {
            guard case .kms(let address) = try AWSAddress("aws-kms://eu-west-1/\(key)") else {
                Issue.record("\(key)")
                continue
            }
            #expect(address.keyId == key)
            #expect(address.region.name == "eu-west-1")
            #expect(address.endpoint == nil)
        }
        guard case .kms(let address) = try AWSAddress("aws-kms://local/alias/k?endpoint=http://127.0.0.1:5000") else { return }
        #expect(address.endpoint?.description == "http://127.0.0.1:5000")
    }

    @Test("a secret has its region before its name, or the default one")
    func secrets() throws {
        let region = Region("us-east-2")
        for (text, name, its) in [
            ("aws-sm://eu-west-1/plant/db", "plant/db", "eu-west-1"), ("aws-sm://plant/db", "plant/db", "us-east-2"),
            ("aws-sm://db_+=.@-", "db_+=.@-", "us-east-2"), ("aws-sm://db-prod-1/x", "db-prod-1/x", "us-east-2"),
            ("aws-sm://us-gov-west-1/x", "x", "us-gov-west-1"), ("aws-sm://eu-west-1/eu-west-1/x", "eu-west-1/x", "eu-west-1"),
            (
                "aws-sm://arn:aws:secretsmanager:us-east-2:123456789012:secret:a/b-AbCdEf",
                "arn:aws:secretsmanager:us-east-2:123456789012:secret:a/b-AbCdEf", "us-east-2"
            ),
        ] {
            guard case .secret(let address) = try AWSAddress(text, defaultRegion: region) else { continue }
            #expect(address.secretId == name)
            #expect(address.region.name == its)
        }
        guard case .secret(let address) = try AWSAddress("aws-sm://eu-west-1/a?stage=AWSPREVIOUS&key=password") else { return }
        #expect(address.versionStage == "AWSPREVIOUS")
        #expect(address.field == "password")
    }

    @Test("a bucket has a prefix or none, and keys lie beneath it")
    func buckets() throws {
        guard case .s3(let address) = try AWSAddress("s3://my.bucket/backups/casemate/?region=eu-west-1") else { return }
        #expect(address.bucket.name == "my.bucket")
        #expect(address.prefix?.text == "backups/casemate")
        #expect(address.key("a/b.tar")?.text == "backups/casemate/a/b.tar")
        #expect(address.key("../b") == nil)
        guard case .s3(let whole) = try AWSAddress("s3://bucket?region=auto&endpoint=https://s3.example.com:8443") else { return }
        #expect(whole.prefix == nil)
        #expect(whole.key("a")?.text == "a")
        #expect(whole.endpoint?.description == "https://s3.example.com:8443")
    }

    @Test(
        "what is none is refused, with how to write it",
        arguments: [
            ("", "begins with"), ("kms://eu-west-1/alias/a", "aws-kms://"), ("https://kms.eu-west-1.amazonaws.com", "aws-kms://"),
            ("AWS-KMS://eu-west-1/alias/a", "aws-kms://"), ("aws-kms://eu-west-1", "aws-kms://REGION/KEY"),
            ("aws-kms://eu-west-1/", "alias/NAME"), ("aws-kms://eu-west-1/my-key", "alias/NAME"),
            ("aws-kms://eu-west-1/alias/", "alias/NAME"), ("aws-kms://eu-west-1/12345678-ABCD-1234-abcd-1234567890ab", "alias/NAME"),
            ("aws-kms://eu-wset/alias/a", "eu-west-1"), ("aws-kms:///alias/a", "eu-west-1"), ("aws-kms://eu:west/alias/a", "eu-west-1"),
            ("aws-kms://eu-west-1/arn:aws:kms:eu-west-2:123456789012:key/\(id)", "another region"),
            ("aws-kms://eu-west-1/arn:aws:s3:eu-west-1:123456789012:key/\(id)", "arn:aws:kms"),
            ("aws-kms://eu-west-1/arn:aws:kms:eu-west-1:1234:key/\(id)", "arn:aws:kms"),
            ("aws-kms://eu-west-1/alias/a?region=eu-west-1", "not region="), ("aws-kms://eu-west-1/alias/a?endpoint=", "NAME=VALUE"),
            ("aws-kms://eu-west-1/alias/a?", "NAME=VALUE"), ("aws-kms://eu-west-1/alias/a?endpoint", "NAME=VALUE"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://a&endpoint=https://b", "twice"),
            ("aws-kms://eu-west-1/alias/a?endpoint=http://kms.example.com", "loopback"),
            ("aws-kms://eu-west-1/alias/a?endpoint=http://127.0.0.1.example.com", "loopback"),
            ("aws-kms://eu-west-1/alias/a?endpoint=http://127.1", "loopback"),
            ("aws-kms://eu-west-1/alias/a?endpoint=http://[::2]", "loopback"),
            ("aws-kms://eu-west-1/alias/a?endpoint=ftp://127.0.0.1", "https://"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://me:hunter2@kms.example.com", "user"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://kms.example.com/path", "path"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://kms.example.com:0", "1 to 65535"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://kms.example.com:65536", "1 to 65535"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://KMS.example.com", "small letters"),
            ("aws-kms://eu-west-1/alias/a?endpoint=https://-a.example.com", "small letters"),
            ("aws-kms://eu-west-1/alias/a%20b", "nothing is decoded"), ("aws-kms://eu-west-1/alias/a#b", "nothing is decoded"),
            ("aws-kms://eu-west-1/alias/a b", "blanks"), ("aws-kms://eu-west-1/alias/ä", "ASCII"),
            ("aws-kms://eu-west-1/alias/a\n", "visible"), ("aws-kms://eu-west-1/alias/" + String(repeating: "a", count: 5000), "4096"),
            ("aws-sm://plant/db", "no default region"), ("aws-sm://eu-west-1", "1 to 512"), ("aws-sm://eu-west-1/", "1 to 512"),
            ("aws-sm://eu-west-1/a:b", "1 to 512"), ("aws-sm://eu-west-1/a?version=2", "not version="),
            ("aws-sm://eu-west-1/a?stage=A%20B", "decoded"), ("aws-sm://eu-west-1/a?key=a/b", "key=FIELD"),
            ("aws-sm://eu-west-1/arn:aws:secretsmanager:eu-west-2:123456789012:secret:a", "another region"),
            ("s3://bucket/a", "region"), ("s3://Bucket?region=eu-west-1", "small letters"), ("s3://ab?region=eu-west-1", "3 to 63"),
            ("s3://a..b?region=eu-west-1", "3 to 63"), ("s3://192.168.0.1?region=eu-west-1", "3 to 63"),
            ("s3://bucket//a?region=eu-west-1", "single slashes"), ("s3://bucket/a/../b?region=eu-west-1", ".."),
            ("s3://bucket/a+b?region=eu-west-1", "-._~"), ("s3://bucket/a?region=EU-WEST-1", "eu-west-1"),
            ("s3://bucket/a?region=eu-west-1&acl=public", "not acl="), ("s3://bucket/a?region=garage", "endpoint="),
        ])
    func bad(_ text: String, _ hint: String) {
        do {
            _ = try AWSAddress(text)
            Issue.record("taken: \(text)")
        } catch {
            #expect(error.message.contains(hint), "\(text): \(error)")
            #expect(!error.message.contains("hunter2"))
        }
    }

    @Test("AWS's hosts are those that botocore names, and the isolated regions need an endpoint")
    func hosts() async throws {
        try await withPython("regions") { botocore in
            #expect(botocore.facts.count > 40)
            for (name, host) in botocore.facts {
                let region = try #require(Region(name))
                if name.contains("-iso") {
                    #expect(region.domain == nil)
                } else {
                    #expect(try Endpoint.aws("kms", in: region).description == "https://\(host)")
                }
            }
        }
        #expect(throws: AWSAddressError.self) { try KMS(region: Region("garage")!, credentials: .test()) }
    }

    @Test("a bucket is in the host at AWS, and in the path elsewhere or when its name has dots")
    func urls() throws {
        let key = S3Key("a/b~c")!
        let s3 = try S3(region: .test, credentials: .test())
        #expect(try s3.request(.get, S3Bucket("plant")!, key).url == "https://plant.s3.eu-west-1.amazonaws.com/a/b~c")
        #expect(try s3.request(.get, S3Bucket("my.plant")!, key).url == "https://s3.eu-west-1.amazonaws.com/my.plant/a/b~c")
        #expect(try s3.request(.get, S3Bucket("plant")!, nil).url == "https://plant.s3.eu-west-1.amazonaws.com/")
        let other = try S3(region: .test, endpoint: try Endpoint("https://minio.example.com:9000"), credentials: .test())
        #expect(try other.request(.get, S3Bucket("plant")!, key).url == "https://minio.example.com:9000/plant/a/b~c")
        #expect(try other.request(.get, S3Bucket("plant")!, nil).url == "https://minio.example.com:9000/plant")
    }
}
