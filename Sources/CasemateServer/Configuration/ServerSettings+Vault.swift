import CasemateAWS
import CasemateLinux
import CasemateVault
import Glibc

extension ServerSettings {
    /// Whether `text` can stand in the setting `kek`.
    /// - Returns: what is wrong, for people; nil for nothing.
    static func faultOfKey(_ text: String) -> String? {
        if text == "file" || text.hasPrefix("file:///") { return nil }
        if text.hasPrefix("aws-kms:") {
            do throws(AWSAddressError) {
                guard case .kms = try AWSAddress(text) else { return "must be aws-kms://REGION/KEY" }
                return nil
            } catch { return "\(error)" }
        }
        guard text.hasPrefix("pkcs11:") else {
            return "must be file, file:///PATH, aws-kms://REGION/KEY, or pkcs11:token=…;object=…?module-path=…&pin-source=…"
        }
        do throws(PKCS11AddressError) {
            _ = try PKCS11KeyProvider(text)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// As `faultOfKey`, for the setting `signing-key`.
    static func faultOfSigningKey(_ text: String) -> String? {
        if text == "file" { return nil }
        guard text.hasPrefix("aws-kms:") else { return "must be file or aws-kms://REGION/KEY" }
        return faultOfKey(text)
    }

    /// - Parameters:
    ///   - folder: where the key of the embedded default is.
    ///   - mayCreate: whether one that is not there may be made: on a new server alone.
    /// - Throws: `KeyProviderError` where KMS can't be had, and could never be before.
    public func signer(folder: String, mayCreate: Bool, aws: CredentialSource) async throws -> RevisionSigner {
        let path = folder + "/signing.key"
        let key: any RevisionKey =
            if signingKey != "file", case .kms(let address) = try AWSAddress(signingKey) {
                try await KMSRevisionKey(address, credentials: aws, known: folder + "/signing.pem")
            } else {
                try FileRevisionKey(path: path, mayCreate: mayCreate)
            }
        return RevisionSigner(key, former: try SigningKeyList(path: folder + "/signing-keys.pem", adding: key.verifying).keys)
    }

    /// The vault with the providers of the setting `kek`.
    /// - Parameters:
    ///   - folder: where the file of the embedded default is.
    ///   - mayCreate: whether a key that is not there may be made: on a new server alone.
    public func vault(folder: String, mayCreate: Bool, isSealed: Bool = false, aws: CredentialSource) throws -> Vault {
        // A security module's library reads its own variables, of which this process has none otherwise.
        for (name, value) in keyEnvironment { setenv(name, value, 1) }
        let providers = try keys.enumerated().map { index, text -> any KeyProvider in
            let mayCreate = mayCreate && index == 0
            if text.hasPrefix("aws-kms:"), case .kms(let address) = try AWSAddress(text) {
                return try KMSKeyring(address, credentials: aws)
            }
            if text.hasPrefix("pkcs11:") { return try PKCS11KeyProvider(text, mayCreate: mayCreate) }
            return try FileKeyring(path: text == "file" ? folder + "/kek" : String(text.dropFirst("file://".count)), mayCreate: mayCreate)
        }
        return Vault(providers: providers, isSealed: isSealed)
    }
}
