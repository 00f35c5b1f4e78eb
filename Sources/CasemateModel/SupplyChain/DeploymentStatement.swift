/// What whoever deploys a function puts their signature under: which function, by which manifest, from which source.
///
/// Its text is signed with `ssh-keygen -Y sign -n casemate`; it has one spelling, so that both sides write it and nobody parses it.
public struct DeploymentStatement: Sendable, Equatable {
    /// SSHSIG's namespace: a signature that was made for a commit or a file is none for a deployment.
    public static let signatureNamespace = "casemate"

    /// Where the code comes from.
    public enum Source: Sendable, Equatable {
        /// SHA-256 of the uploaded archive, in hexadecimal.
        case archive(String)
        case commit(url: String, id: String)
    }

    public let function: FunctionName
    /// SHA-256 of the manifest's text, in hexadecimal.
    public let manifestDigest: String
    public let source: Source

    public init(function: FunctionName, manifestDigest: String, source: Source) {
        self.function = function
        self.manifestDigest = manifestDigest
        self.source = source
    }

    public var text: String {
        let from =
            switch source {
            case .archive(let digest): "sha256:\(digest)"
            case .commit(let url, let id): "git:\(url)@\(id)"
            }
        return """
            casemate deployment v1
            namespace \(function.namespace)
            function \(function.function)
            manifest sha256:\(manifestDigest)
            source \(from)

            """
    }
}
