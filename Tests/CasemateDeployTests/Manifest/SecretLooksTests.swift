import CasemateModel
import Testing

@testable import CasemateDeploy

@Suite("What looks like a secret under env")
struct SecretLooksTests {
    @Test(
        "is told by its name or its form",
        arguments: [
            ("DB_PASSWORD", "hunter2-hunter2"), ("password", "x1y2z3"), ("API_KEY", "0123456789"), ("STRIPE", "sk_live_4eC39HqLyjWDarjt"),
            ("ID", "AKIAIOSFODNN7EXAMPLE"), ("DATABASE_URL", "postgres://app:s3cret@db.example.com/app"), ("WEBHOOK_SECRET", "abc def"),
            ("CERT", "-----BEGIN PRIVATE KEY-----\nMIIB"), ("SESSION_TOKEN", "https:/no-address"),
        ])
    func secret(name: String, value: String) throws { #expect(SecretLooks.areThere(try #require(VariableName(name)), value)) }

    @Test(
        "what names one, or is a setting, does not",
        arguments: [
            ("LOG_LEVEL", "debug"), ("DB_PASSWORD", ""), ("TOKEN_URL", "https://login.example.com/token"), ("SORT_KEY", "name"),
            ("CACHE_TOKEN", "true"), ("MAX_TOKEN", "4096"), ("API_KEY", "/run/secrets/key"), ("API_KEY", "$FROM_ELSEWHERE"),
            ("DATABASE_URL", "postgres://db.example.com:5432/app"), ("SITE", "https://user@example.com/"), ("MONKEY", "banana"),
            ("TEXT", "the word eyJ is no token"), ("REGION", "AKI"),
        ])
    func setting(name: String, value: String) throws { #expect(!SecretLooks.areThere(try #require(VariableName(name)), value)) }
}
