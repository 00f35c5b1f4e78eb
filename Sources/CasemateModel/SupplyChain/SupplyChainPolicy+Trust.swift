extension SupplyChainPolicy {
    /// Why no call may run `revision`; nil where calls may.
    /// - Parameter isReviewed: somebody else than its author approved it as it is.
    public func refusal(of revision: Revision, isReviewed: Bool) -> String? {
        if requireSignature, let why = refusal(of: revision.signer, at: revision.signedAt) { return why }
        if requireReview, !isReviewed { return "nobody but its author has approved it, and the namespace's policy asks for that" }
        return nil
    }

    /// Why a signature of `signer`'s does not count; nil where it does. Whoever's time has ended since has signed all the same.
    /// - Parameter time: when it was shown.
    public func refusal(of signer: DeploymentSigner?, at time: Timestamp?) -> String? {
        guard let signer, let time else { return "it was deployed without a signature, and the namespace's policy asks for one" }
        guard let listed = signers.first(where: { $0.fingerprint == signer.key }) else {
            return "the key of \(signer.name) that it was signed with is not among the namespace's signers"
        }
        return listed.isValid(at: time) ? nil : "the key of \(listed.name) did not count when it was signed"
    }

    /// Those of `kinds` that somebody else has to approve here, in the order in which they are declared.
    /// Where nothing unreviewed may be called, everything waits: what serves goes on until then.
    public func needed(_ kinds: Set<ApprovalKind>) -> [ApprovalKind] {
        let requireApproval = requireReview ? self.requireApproval.union([.all]) : self.requireApproval
        return ApprovalKind.allCases.filter { requireApproval.contains($0) && kinds.contains($0) }
    }
}

extension ApprovalKind {
    /// What a change is, for whoever might have to approve it.
    /// - Parameters:
    ///   - before: what is live, opened; nil where nothing is.
    ///   - isLockChanged: whether packages are others, or other versions.
    public static func kinds(from before: FunctionSpec?, to after: FunctionSpec, isLockChanged: Bool) -> Set<ApprovalKind> {
        func adds<T: Hashable>(_ old: [T]?, _ new: [T]?) -> Bool { !Set(new ?? []).isSubset(of: old ?? []) }
        func reach(_ spec: FunctionSpec) -> [AllowedHost] { spec.reachable(granted: Set(spec.grantedEgress ?? [])) }
        var kinds: Set<ApprovalKind> = [.all]
        if isLockChanged { kinds.insert(.dependencies) }
        if Set(before.map(reach) ?? []) != Set(reach(after)) || adds(before?.injected, after.injected) { kinds.insert(.egress) }
        if after.access == .public, before?.access != .public { kinds.insert(.access) }
        if adds(before?.callers, after.callers) || before?.tokenRules != after.tokenRules { kinds.insert(.access) }
        if after.secretsInResponse == .allow, before?.secretsInResponse != .allow { kinds.insert(.access) }
        if adds(before?.capabilities, after.capabilities) || adds(before?.audiences, after.audiences) { kinds.insert(.capabilities) }
        return kinds
    }
}
