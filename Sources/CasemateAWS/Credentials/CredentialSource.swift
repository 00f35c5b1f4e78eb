/// Where credentials come from. Asked before every attempt, so that new ones are used without a restart.
public struct CredentialSource: Sendable {
    private let read: @Sendable () async throws(CredentialError) -> AWSCredentials

    /// - Parameter read: called before every attempt, at once from several tasks.
    public init(_ read: @escaping @Sendable () async throws(CredentialError) -> AWSCredentials) { self.read = read }

    /// The same ones for ever.
    public static func fixed(_ credentials: AWSCredentials) -> CredentialSource {
        CredentialSource { () async throws(CredentialError) in credentials }
    }

    /// A shared credentials file, read anew when it is another one or has changed. It need not be there yet.
    public static func file(_ path: String, profile: String = "default") -> CredentialSource {
        let file = WatchedCredentials(path: path, profile: profile)
        return CredentialSource { () async throws(CredentialError) in
            do {
                return try file.current()
            } catch {
                // Caught while it was being written: once more, in a moment.
                try? await Task.sleep(for: .milliseconds(20))
                return try file.current()
            }
        }
    }

    func current() async throws(CredentialError) -> AWSCredentials { try await read() }
}
