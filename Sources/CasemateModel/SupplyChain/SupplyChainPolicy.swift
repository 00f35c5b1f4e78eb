/// Whose word a namespace's deployments need before calls run them.
public struct SupplyChainPolicy: Hashable, Sendable, Codable {
    /// Nothing is deployed or called without a signature of one of `signers`.
    public var requireSignature: Bool
    /// By name, then key.
    public var signers: [Signer]
    /// Changes that somebody else than their author must approve.
    public var requireApproval: Set<ApprovalKind>
    /// Nothing is called that nobody but its author approved.
    public var requireReview: Bool
    /// Takes only what was promoted from elsewhere.
    public var production: Bool
    /// Namespaces whose approvals count here; nil for any.
    public var promoteFrom: [NamespaceName]?

    public init(
        requireSignature: Bool = false, signers: [Signer] = [], requireApproval: Set<ApprovalKind> = [], requireReview: Bool = false,
        production: Bool = false, promoteFrom: [NamespaceName]? = nil
    ) {
        self.promoteFrom = promoteFrom
        self.requireSignature = requireSignature
        self.signers = signers
        self.requireApproval = requireApproval
        self.requireReview = requireReview
        self.production = production
    }

    /// Somebody whose signature counts.
    public struct Signer: Hashable, Sendable, Codable, Comparable {
        public var name: String
        /// `type base64`
        public var key: String
        /// `SHA256:…`
        public var fingerprint: String
        /// Nil for ever before.
        public var from: Timestamp?
        /// Nil for ever after.
        public var until: Timestamp?

        public init(name: String, key: String, fingerprint: String, from: Timestamp? = nil, until: Timestamp? = nil) {
            self.name = name
            self.key = key
            self.fingerprint = fingerprint
            self.from = from
            self.until = until
        }

        /// Whether a signature counts that was made, or shown, at `time`.
        public func isValid(at time: Timestamp) -> Bool { (from.map { $0 <= time } ?? true) && (until.map { time < $0 } ?? true) }

        /// Whether it counts at no time at which `other` does not, for the same key.
        fileprivate func isWithin(_ other: Self) -> Bool {
            fingerprint == other.fingerprint && name == other.name
                && (other.from.map { start in from.map { start <= $0 } ?? false } ?? true)
                && (other.until.map { end in until.map { $0 <= end } ?? false } ?? true)
        }

        public static func < (left: Self, right: Self) -> Bool { (left.name, left.key) < (right.name, right.key) }
    }

    /// What lets more pass than `before` did; empty where nothing does.
    public func loosened(from before: SupplyChainPolicy) -> [String] {
        var loosened: [String] = []
        if before.requireSignature, !requireSignature { loosened.append("requireSignature") }
        // Another key, or the same one for longer, signs what could not be signed before.
        if signers.contains(where: { signer in !before.signers.contains(where: signer.isWithin) }) { loosened.append("signers") }
        if !requireApproval.contains(.all), !before.requireApproval.isSubset(of: requireApproval) { loosened.append("requireApproval") }
        if before.requireReview, !requireReview { loosened.append("requireReview") }
        if before.production, !production { loosened.append("production") }
        if let known = before.promoteFrom, promoteFrom.map({ !$0.allSatisfy(known.contains) }) ?? true { loosened.append("promoteFrom") }
        return loosened
    }

    /// For the record: what is another now.
    public func changes(from before: SupplyChainPolicy) -> [String] {
        func flag(_ name: String, _ old: Bool, _ new: Bool) -> [String] { old == new ? [] : ["supplyChain.\(name)=\(new)"] }
        func names(_ kinds: Set<ApprovalKind>) -> String { kinds.map(\.rawValue).sorted().joined(separator: "+") }
        return flag("requireSignature", before.requireSignature, requireSignature)
            + flag("requireReview", before.requireReview, requireReview) + flag("production", before.production, production)
            + (before.requireApproval == requireApproval ? [] : ["supplyChain.requireApproval=\(names(requireApproval))"])
            + (before.promoteFrom == promoteFrom
                ? [] : ["supplyChain.promoteFrom=\(promoteFrom.map { $0.map(\.text).joined(separator: "+") } ?? "any")"])
            + signers.filter { !before.signers.contains($0) }.map { "+supplyChain.signers:\($0.name) \($0.fingerprint)" }
            + before.signers.filter { !signers.contains($0) }.map { "-supplyChain.signers:\($0.name) \($0.fingerprint)" }
    }
}

/// What of a change makes a second person's approval necessary.
public enum ApprovalKind: String, Hashable, Sendable, Codable, CaseIterable {
    /// Other packages, or other versions of them.
    case dependencies
    /// It may reach something else.
    case egress
    /// More may call it: anyone, or another function.
    case access
    /// Its calls may do more for their callers, or it proves who it is to more.
    case capabilities
    /// Whatever changes.
    case all
}
