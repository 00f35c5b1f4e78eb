import CasemateModel
import CasemateVault

/// The signature that whoever deploys brought, checked. Made only by `check`.
struct DeploymentSignature: Sendable {
    let signer: DeploymentSigner
    let statement: String
    let armored: String

    /// Whether what was brought counts, and whether something had to be.
    /// - Parameters:
    ///   - armored: nil where nothing was brought.
    ///   - statement: nil where the source is not known before it is fetched, so that nobody can have signed for it.
    /// - Returns: nil where none was brought, and none is asked for.
    /// - Throws: `.untrustedSignature`.
    static func check(
        _ armored: String?, over statement: DeploymentStatement?, of name: FunctionName, by policy: SupplyChainPolicy, at time: Timestamp
    ) throws(Problem) -> DeploymentSignature? {
        guard let armored else {
            guard policy.requireSignature else { return nil }
            throw refusal("\(name.namespace) takes signed deployments only: casemate deploy --sign-key ~/.ssh/id_ed25519", "missing")
        }
        guard let statement else {
            throw refusal("a source that is named by a branch or a tag can't be signed for; give ref as the whole id of a commit", "source")
        }
        guard let signature = SSHSignature(armored: armored) else {
            throw refusal(
                "the signature of \(name) is none of ssh-keygen -Y sign, or of a kind of key that is not taken", "malformed")
        }
        guard signature.namespace == DeploymentStatement.signatureNamespace else {
            throw refusal(
                "the signature of \(name) was made for \"\(signature.namespace.prefix(60))\"; make it with ssh-keygen -Y sign -n \(DeploymentStatement.signatureNamespace)",
                "namespace")
        }
        guard signature.isValid(over: Array(statement.text.utf8), namespace: DeploymentStatement.signatureNamespace) else {
            throw refusal("the signature of \(name) is not over this function, manifest and source", "statement")
        }
        let fingerprint = signature.key.fingerprint
        guard !policy.signers.isEmpty else {
            throw refusal("the namespace has no signers; its policy lists them under supplyChain.signers", "signer")
        }
        guard let listed = policy.signers.first(where: { $0.fingerprint == fingerprint }) else {
            throw refusal("\(fingerprint), which signed \(name), is not among the signers of \(name.namespace)", "signer")
        }
        guard listed.isValid(at: time) else {
            throw refusal(
                "the key of \(listed.name) does not count now: the policy of \(name.namespace) says from when until when", "expired")
        }
        return DeploymentSignature(
            signer: DeploymentSigner(name: listed.name, key: fingerprint), statement: statement.text, armored: armored)
    }

    private static func refusal(_ detail: String, _ reason: String) -> Problem { Problem(.untrustedSignature, detail, reason: reason) }
}
