import CSHA

/// SHA-256 of a body in hexadecimal, by libcrypto, for `x-amz-content-sha256`.
enum PayloadHash {
    static func of(_ body: SensitiveBytes?) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        if let body {
            body.withBytes { bytes in _ = EVP_Digest(bytes.baseAddress, bytes.count, &digest, nil, EVP_sha256(), nil) }
        } else {
            EVP_Digest(nil, 0, &digest, nil, EVP_sha256(), nil)
        }
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
