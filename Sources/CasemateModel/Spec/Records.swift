/// A tenant boundary as it is stored.
public struct Namespace: Sendable, Equatable {
    public var id: NamespaceId
    public var name: NamespaceName
    public var created: Timestamp

    public init(id: NamespaceId, name: NamespaceName, created: Timestamp) {
        self.id = id
        self.name = name
        self.created = created
    }
}

/// A function as it is stored: a name that points at its active revision.
public struct Function: Sendable, Equatable {
    public var id: FunctionId
    public var namespaceId: NamespaceId
    public var name: FunctionName
    /// Nil until the first deploy, when only its secrets exist.
    public var activeRevision: RevisionId?
    /// The function's data key, wrapped by the KEK.
    public var wrappedDataKey: WrappedKey
    /// Why no call of it runs; nil where they do.
    public var disabled: String?
    public var created: Timestamp
    public var updated: Timestamp

    public init(
        id: FunctionId, namespaceId: NamespaceId, name: FunctionName, activeRevision: RevisionId?, wrappedDataKey: WrappedKey,
        disabled: String? = nil, created: Timestamp, updated: Timestamp
    ) {
        self.disabled = disabled
        self.id = id
        self.namespaceId = namespaceId
        self.name = name
        self.activeRevision = activeRevision
        self.wrappedDataKey = wrappedDataKey
        self.created = created
        self.updated = updated
    }

    /// What rights on it are held on.
    public var resource: Resource { .function(id, in: namespaceId) }
}

/// An immutable version of a function: what was signed.
public struct Revision: Sendable, Equatable {
    public var id: RevisionId
    public var functionId: FunctionId
    /// From 1, per function.
    public var number: Int
    /// 64 hexadecimal digits.
    public var bundleDigest: String
    public var sourceDigest: String
    /// The spec's canonical JSON: the very bytes that were signed.
    public var specBytes: [UInt8]
    public var lock: String?
    public var findings: [Diagnostic]
    public var signature: [UInt8]
    public var created: Timestamp
    public var createdBy: String
    /// Of all that is signed of it, in hexadecimal: what names it for good. Empty for one from before there were any.
    public var digest = ""
    /// Of its provenance, SHA-256 in hexadecimal; empty for one from before there was any.
    public var provenanceDigest = ""
    /// Who deployed it, as nobody else is called; empty where that is not recorded.
    public var authorIdentity = ""
    /// Who wrote what it runs, where another than whoever made this revision of it; else nil.
    public var codeAuthor: DeployAuthor?
    /// Whose signature it was deployed with; nil for nobody's.
    public var signer: DeploymentSigner?
    /// When that signature was shown; it counts from then on. Nil without one.
    public var signedAt: Timestamp?
    public var state = RevisionState.ready
    /// Why it needs an approval, or needed one.
    public var needsApproval: [ApprovalKind] = []
    /// The revision that it was compared with; nil where there was none.
    public var base: RevisionId?
    /// Nil where it was built for this function.
    public var origin: RevisionOrigin?
    /// Kept, however old.
    public var isPinned = false

    public init(
        id: RevisionId, functionId: FunctionId, number: Int, bundleDigest: String, sourceDigest: String, specBytes: [UInt8], lock: String?,
        findings: [Diagnostic], signature: [UInt8] = [], created: Timestamp, createdBy: String
    ) {
        self.id = id
        self.functionId = functionId
        self.number = number
        self.bundleDigest = bundleDigest
        self.sourceDigest = sourceDigest
        self.specBytes = specBytes
        self.lock = lock
        self.findings = findings
        self.signature = signature
        self.created = created
        self.createdBy = createdBy
    }
}

/// A secret as it is stored: sealed under its function's data key.
public struct SealedSecret: Sendable, Equatable {
    public var functionId: FunctionId
    public var name: VariableName
    public var version: Int
    public var sealed: [UInt8]
    /// Of the value, by the function's own key; empty for one that was stored before there were any.
    public var fingerprint: String
    /// What makes the value weak, in words; empty for a strong one.
    public var weaknesses: [String]
    public var updated: Timestamp

    /// Looked for as a whole word only.
    public var isWeak: Bool { !weaknesses.isEmpty }

    public init(
        functionId: FunctionId, name: VariableName, version: Int, sealed: [UInt8], fingerprint: String = "", weaknesses: [String] = [],
        updated: Timestamp
    ) {
        self.fingerprint = fingerprint
        self.weaknesses = weaknesses
        self.functionId = functionId
        self.name = name
        self.version = version
        self.sealed = sealed
        self.updated = updated
    }
}

/// A credential as it is stored: its hash, never itself.
public struct StoredCredential: Sendable, Equatable {
    public enum Holder: Sendable, Equatable {
        /// May do everything (the bootstrap administrator's key).
        case administrator(KeyId)
        /// May call one function, or all of a namespace.
        case functionToken(TokenId, namespace: NamespaceId, function: FunctionId?)
        /// Stands for a service account: until it is revoked, or, an access token, for an hour.
        case serviceAccount(AccountId, KeyId, AccountCredential)
        /// Stands for somebody who has signed in, for a working day.
        case person(SessionId, SignedInPerson)
    }

    /// What a service account shows: a key that was made for it, or what it got for its client secret.
    public enum AccountCredential: String, Sendable { case key, accessToken = "access-token" }

    public var holder: Holder
    /// SHA-256 of the credential, which is random and long enough to need no slow hash.
    public var hash: [UInt8]
    /// The first characters, to tell tokens apart in a list.
    public var prefix: String
    public var description: String
    public var created: Timestamp
    /// Nil only for the administrator's key.
    public var expires: Timestamp?
    /// The subject of whoever made it; empty where that is not recorded.
    public var createdBy: String
    /// To within some seconds; nil where it never was, or is not recorded.
    public var lastUsed: Timestamp?

    public init(
        holder: Holder, hash: [UInt8], prefix: String, description: String, created: Timestamp, expires: Timestamp?,
        createdBy: String = "", lastUsed: Timestamp? = nil
    ) {
        self.holder = holder
        self.hash = hash
        self.prefix = prefix
        self.description = description
        self.created = created
        self.expires = expires
        self.createdBy = createdBy
        self.lastUsed = lastUsed
    }
}
