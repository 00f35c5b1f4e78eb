import CasemateModel

/// A place where values of secrets are kept, other than our own vault.
public protocol SecretSource: Sendable {
    /// Of the references that are its.
    var scheme: String { get }
    /// The value as it is now.
    func value(of secret: ExternalSecret) async throws(SecretSourceError) -> Secret
}

/// Why a value could not be had. No text in it is the place's own: that may hold anything.
public enum SecretSourceError: Error, Equatable, CustomStringConvertible {
    /// There is none of that name, or the server may not have it.
    case missing(String)
    /// The place does not answer.
    case unavailable(String)

    public var description: String {
        switch self {
        case .missing(let why), .unavailable(let why): why
        }
    }
}

/// All places that this server is set up for.
public struct SecretSources: Sendable {
    private let sources: [String: any SecretSource]

    public init(_ sources: [any SecretSource]) { self.sources = Dictionary(uniqueKeysWithValues: sources.map { ($0.scheme, $0) }) }

    public func has(_ scheme: String) -> Bool { sources[scheme] != nil }

    /// The values of all references, side by side.
    /// - Throws: for the first that can't be had; then none is given.
    public func resolve(_ references: [SecretReference]) async throws(SecretSourceError) -> [OpenedSecret] {
        if references.isEmpty { return [] }
        let results = await withTaskGroup(of: (Int, Result<Secret, SecretSourceError>).self) { group in
            for (index, reference) in references.enumerated() { group.addTask { (index, await result(reference.from)) } }
            var results: [Int: Result<Secret, SecretSourceError>] = [:]
            for await (index, result) in group { results[index] = result }
            return results
        }
        var opened: [OpenedSecret] = []
        for (index, reference) in references.enumerated() {
            guard let value = try results[index]?.get() else { throw .unavailable("no answer") }
            let isWeak = value.withBytes { !SecretStrength.weaknesses(of: Array($0)).isEmpty }
            opened.append(OpenedSecret(name: reference.name, version: 0, isWeak: isWeak, value: value))
        }
        return opened
    }

    private func result(_ secret: ExternalSecret) async -> Result<Secret, SecretSourceError> {
        guard let source = sources[secret.scheme] else {
            return .failure(.unavailable("this server is not set up for \(secret): it needs \(secret.setUp)"))
        }
        do throws(SecretSourceError) {
            let value = try await source.value(of: secret)
            let isText = value.withBytes { String(validating: $0, as: UTF8.self) != nil && !$0.contains(0) }
            guard value.count > 0, value.count <= Secret.maximumLength, isText else {
                return .failure(.missing("the value of \(secret) is not 1 to \(Secret.maximumLength) bytes of text"))
            }
            return .success(value)
        } catch {
            return .failure(error)
        }
    }
}
