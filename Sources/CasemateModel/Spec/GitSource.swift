/// A repository that a function's source is fetched from.
public struct GitSource: Hashable, Sendable, Codable {
    /// https or ssh, without a password: `https://git.example.com/team/code.git`, `ssh://git@git.example.com/team/code.git`.
    public var url: String
    /// A branch, a tag, or a commit's whole id.
    public var ref: String
    /// The id of what was fetched; nil in a manifest.
    public var commit: String?
    /// Below the repository's root; nil for all of it.
    public var folder: String?
    /// A secret of the function's: `user:password` for https, a private key for ssh.
    public var credentials: VariableName?
    /// The keys that an ssh host may have, each `type base64`; nil for https.
    public var hostKeys: [String]?
    /// Whether its submodules are fetched too; nil for no.
    public var submodules: Bool?
    /// Whether secrets are looked for in all that its history holds; nil for no.
    public var history: Bool?

    public init(url: String, ref: String) {
        self.url = url
        self.ref = ref
    }

    /// What is asked for, without what came of it.
    public var asked: GitSource {
        var asked = self
        asked.commit = nil
        return asked
    }

    /// Whether `ref` can never be anything else: a commit's whole id (SHA-1 or SHA-256).
    public var isPinned: Bool { Self.isCommit(ref) }

    public static func isCommit(_ text: String) -> Bool {
        [40, 64].contains(text.utf8.count) && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }
}
