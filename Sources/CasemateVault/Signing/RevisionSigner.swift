import CasemateModel

/// Signs what runs, and knows again what was signed.
public struct RevisionSigner: Sendable {
    private let key: any RevisionKey
    /// Those that signed before this one did.
    private let former: [VerifyingKey]

    public init(_ key: any RevisionKey, former: [VerifyingKey] = []) {
        self.key = key
        self.former = former
    }

    public var verifying: VerifyingKey { key.verifying }
    public var keyId: String { verifying.id }

    /// `revision` with the digest and the signature that it should have.
    /// - Throws: `KeyProviderError` where the key can't be had.
    public func signing(_ revision: Revision) async throws -> Revision {
        var signed = revision
        signed.digest = Self.digest(of: revision)
        signed.signature = try await key.sign(Self.payload(revision))
        return signed
    }

    /// Whether `revision` is exactly what this server signed.
    public func isValid(_ revision: Revision) -> Bool {
        (revision.digest.isEmpty || revision.digest == Self.digest(of: revision))
            && isValid(revision.signature, over: Self.payload(revision))
    }

    /// The id of the key that signed `revision`; nil where none of ours did.
    public func keyId(of revision: Revision) -> String? {
        let payload = Self.payload(revision)
        return ([verifying] + former).first { $0.isValid(revision.signature, over: payload) }?.id
    }

    /// One of those that ever signed here.
    public func key(_ id: String) -> VerifyingKey? { ([verifying] + former).first { $0.id == id } }

    public func signing(_ approval: Approval) async throws -> Approval {
        var signed = approval
        signed.signature = try await key.sign(approval.payload)
        return signed
    }

    /// Whether `approval` was given here, for `revision` as it is.
    public func isValid(_ approval: Approval, of revision: Revision) -> Bool {
        approval.revision == revision.id && approval.digest == Self.digest(of: revision)
            && isValid(approval.signature, over: approval.payload)
    }

    /// An envelope for those who check with tools of their own.
    public func envelope(of payload: [UInt8], type: String) async throws -> DSSEEnvelope {
        DSSEEnvelope(
            payloadType: type, payload: payload, keyId: keyId,
            signature: try await key.sign(DSSEEnvelope.signedBytes(payload, type: type)))
    }

    private func isValid(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        verifying.isValid(signature, over: message) || former.contains { $0.isValid(signature, over: message) }
    }

    /// What names a revision with all that it is: who agrees to it, agrees to this.
    public static func digest(of revision: Revision) -> String { HexDigest.sha256(payload(revision)) }

    /// Each part has a fixed length, an alphabet without line ends, or comes last, so that no two revisions share a payload.
    private static func payload(_ revision: Revision) -> [UInt8] {
        let spec = HexDigest.sha256(revision.specBytes)
        // As they were signed before there was provenance.
        guard !revision.provenanceDigest.isEmpty else {
            return Array("casemate/revision/1\n\(revision.functionId)\n\(revision.bundleDigest)\n\(spec)\n\(revision.number)".utf8)
        }
        // Names that people choose come with their length.
        func sized(_ text: String) -> String { "\(text.utf8.count) \(text)" }
        func author(_ author: DeployAuthor) -> [String] { [sized(author.identity), sized(author.subject)] }
        let what = [
            "\(revision.id)", "\(revision.functionId)", "\(revision.number)", revision.bundleDigest, spec, revision.sourceDigest,
            revision.provenanceDigest,
        ]
        let needs = revision.needsApproval.map(\.rawValue).joined(separator: ",")
        let base = revision.base.map { "\($0)" } ?? "-"
        let origin = revision.origin.map { "\($0.function)#\($0.revision) \($0.digest)" } ?? "-"
        let how: [String] = ["\(revision.created.milliseconds)", base, needs, origin]
        let name = revision.signer.map { sized($0.name) } ?? "-"
        let signedAt = revision.signedAt.map { "\($0.milliseconds)" } ?? "-"
        let signer: [String] = [revision.signer?.key ?? "-", name, signedAt]
        let maker = author(DeployAuthor(subject: revision.createdBy, identity: revision.authorIdentity))
        let parts = what + how + signer + maker + (revision.codeAuthor.map(author) ?? ["-"])
        return Array("casemate/revision/2\n\(parts.joined(separator: "\n"))".utf8)
    }
}
