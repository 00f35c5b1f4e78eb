import CasemateAWS
import CasemateModel
import Glibc
import Synchronization

/// Values in AWS Secrets Manager, got with the server's own credentials: `aws-sm://prod/db`, `aws-sm://eu-west-1/prod/db?key=password`.
public final class SecretsManagerSource: SecretSource {
    public let scheme = "aws-sm"
    private let defaultRegion: Region?
    private let endpoint: Endpoint?
    private let credentials: CredentialSource
    private let transport = CurlTransport()
    /// One for each region: each remembers whether its service answers.
    private let managers: Mutex<[Region: SecretsManager]> = Mutex([:])

    /// - Parameter endpoint: of a service that speaks the same protocol; nil for AWS's own.
    public init(defaultRegion: Region?, endpoint: Endpoint?, credentials: CredentialSource) {
        self.defaultRegion = defaultRegion
        self.endpoint = endpoint
        self.credentials = credentials
    }

    public func value(of secret: ExternalSecret) async throws(SecretSourceError) -> Secret {
        let address = try Self.address(secret, defaultRegion)
        do {
            let manager = try manager(address.region)
            var bytes = try await manager.value(id: address.secretId, versionStage: address.versionStage, field: address.field)
            defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
            return Secret(bytes)
        } catch AWSError.refused(let code, _) {
            throw .missing("AWS Secrets Manager refused \(secret.place): \(code)")
        } catch { throw .unavailable("AWS Secrets Manager: \(error)") }
    }

    private static func address(_ secret: ExternalSecret, _ defaultRegion: Region?) throws(SecretSourceError) -> SecretAddress {
        let found: AWSAddress
        do throws(AWSAddressError) { found = try AWSAddress("\(secret)", defaultRegion: defaultRegion) } catch {
            throw .missing("\(secret): \(error)")
        }
        // Whoever writes a manifest does not say whom the server's credentials are shown to.
        guard case .secret(let address) = found, address.endpoint == nil else {
            throw .missing("\(secret) is not written as aws-sm://[REGION/]NAME[?stage=…&key=…]")
        }
        return address
    }

    private func manager(_ region: Region) throws -> SecretsManager {
        try managers.withLock { managers in
            if let known = managers[region] { return known }
            let made = try SecretsManager(region: region, endpoint: endpoint, credentials: credentials, transport: transport)
            managers[region] = made
            return made
        }
    }
}
