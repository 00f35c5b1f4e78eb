import CasemateModel
import Foundation
import JWTKit

/// The keys that an issuer signs with (RFC 7517 §5): public ones, for signatures that we take.
struct SigningKeys: Sendable {
    static let longest = 262_144
    private static let most = 100

    private struct Key: Sendable {
        let id: String?
        let algorithm: String
        let key: any JWTAlgorithm
    }

    private let keys: [Key]

    /// Keys for other uses, of unknown kinds or without strength are left out, so that one of them keeps no other from being used.
    /// - Throws: where it is no key set at all. One without a key of use is one: nothing that was signed before counts any more.
    init(_ bytes: [UInt8]) async throws(TokenFault) {
        guard bytes.count <= Self.longest, let depth = StrictJSON.depth(bytes), depth <= 16,
            let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any], let list = object["keys"] as? [Any],
            list.count <= Self.most
        else { throw .malformed("the issuer's key set can't be read") }
        var keys: [Key] = []
        for case let item as [String: Any] in list {
            if let use = item["use"] as? String, use != "sig" { continue }
            if let operations = item["key_ops"] as? [String], !operations.contains("verify") { continue }
            guard let data = try? JSONSerialization.data(withJSONObject: item), let jwk = try? JSONDecoder().decode(JWK.self, from: data),
                Self.isStrong(item)
            else { continue }
            for algorithm in Self.fitting(item) {
                // A collection for each: one of several would fall back to another key of its own choice.
                let collection = JWTKeyCollection()
                var named = jwk
                named.keyIdentifier = JWKIdentifier(string: "key")
                guard (try? await collection.add(jwk: named)) != nil,
                    let key = try? await collection.getKey(for: JWKIdentifier(string: "key"), alg: algorithm), key.name == algorithm
                else { continue }
                keys.append(Key(id: item["kid"] as? String, algorithm: algorithm, key: key))
            }
        }
        self.keys = keys
    }

    /// What a key of this kind signs with; just what it says where it says so.
    private static func fitting(_ item: [String: Any]) -> [String] {
        let all: [String] =
            switch (item["kty"] as? String, item["crv"] as? String) {
            case ("RSA", nil): Issuer.allAlgorithms.filter { $0.hasPrefix("RS") || $0.hasPrefix("PS") }
            case ("EC", "P-256"): ["ES256"]
            case ("EC", "P-384"): ["ES384"]
            case ("EC", "P-521"): ["ES512"]
            case ("OKP", "Ed25519"): ["EdDSA"]
            default: []
            }
        guard let named = item["alg"] as? String else { return all }
        return all.filter { $0 == named }
    }

    /// RSA keys have 2,048 bits at least (RFC 7518 §3.3). A set with private parts was published by mistake.
    private static func isStrong(_ item: [String: Any]) -> Bool {
        if item["d"] != nil || item["k"] != nil { return false }
        guard item["kty"] as? String == "RSA" else { return true }
        guard let modulus = item["n"] as? String else { return false }
        return (342...2048).contains(modulus.utf8.count)
    }

    enum Verdict { case valid, invalid, unknownKey }

    /// Whether one of the keys made the signature. A token that names its key is held against that one alone.
    func verify(_ signature: [UInt8], signs bytes: [UInt8], algorithm: String, keyId: String?) -> Verdict {
        guard Issuer.allAlgorithms.contains(algorithm) else { return .invalid }
        let fitting = keys.filter { $0.algorithm == algorithm && (keyId == nil || $0.id == keyId) }
        guard !fitting.isEmpty else { return .unknownKey }
        // One that names no key is tried with few: each costs a tenth of a millisecond.
        return fitting.prefix(4).contains { (try? $0.key.verify(signature, signs: bytes)) ?? false } ? .valid : .invalid
    }
}
