import CasemateModel
import CasemateStore

/// That somebody wants a revision to run, or not to.
public struct ApprovalOrder: Sendable {
    public let function: Function
    public let number: Int
    /// `Revision.digest`, of what they looked at.
    public let digest: String
    public let comment: String
    public let approver: DeployAuthor

    public init(function: Function, number: Int, digest: String, comment: String, approver: DeployAuthor) {
        self.function = function
        self.number = number
        self.digest = digest
        self.comment = comment
        self.approver = approver
    }

    func revision(_ transaction: Transaction) throws -> Revision {
        guard let revision = try transaction.revision(number, of: function.id) else {
            throw Problem(.notFound, "\(function.name) has no revision \(number)")
        }
        return revision
    }

    /// - Throws: `.selfApproval` where author and approver may be one.
    func checkAuthor(of revision: Revision, _ transaction: Transaction) throws {
        let maker = DeployAuthor(subject: revision.createdBy, identity: revision.authorIdentity)
        for author in [maker] + (revision.codeAuthor.map { [$0] } ?? []) {
            guard try !Kinship.areOne(author, approver, transaction) else {
                throw Problem(
                    .selfApproval,
                    "revision \(number) of \(function.name) is your own, or of an account that is yours; somebody else has to look at it")
            }
        }
        for grant in try newGrants(in: revision, transaction) {
            guard try !Kinship.areOne(grant.author, approver, transaction) else {
                throw Problem(
                    .selfApproval,
                    "revision \(number) of \(function.name) may reach \(grant.host), which you granted; somebody else has to look at it")
            }
        }
    }

    /// Whoever deploys next deploys what others have granted, too.
    private func newGrants(in revision: Revision, _ transaction: Transaction) throws -> [EgressGrant] {
        let before = try revision.base.flatMap { try transaction.revision($0) }.map { base in
            try CanonicalSpec.decode(base.specBytes).inForce(try transaction.grantedEgress(to: base, of: function))
        }
        let new = Set(try CanonicalSpec.decode(revision.specBytes).grantedEgress ?? []).subtracting(before?.grantedEgress ?? [])
        let all =
            try transaction.egressGrants(of: function.name.function, in: function.namespaceId)
            + transaction.allowedEgress(in: function.namespaceId)
        return all.filter { new.contains($0.host) }
    }
}

/// Whether two accounts may be one person's. It errs on the side of yes: nobody is kept from anything but from approving.
enum Kinship {
    static func areOne(_ author: DeployAuthor, _ approver: DeployAuthor, _ transaction: Transaction) throws -> Bool {
        let (ours, theirs) = (try everybody(author, transaction), try everybody(approver, transaction))
        // Whoever keeps the server made the accounts of many: of two that they made, neither is theirs.
        let made = ours.makers.filter { !$0.hasPrefix("key:") }
        if made.contains(where: { maker in theirs.makers.contains { isSame(maker, $0) } }) { return true }
        return ours.selves.contains { own in theirs.selves.union(theirs.makers).contains { isSame(own, $0) } }
            || theirs.selves.contains { own in ours.makers.contains { isSame(own, $0) } }
    }

    /// An account by its names, and all who may act as it.
    private static func everybody(_ account: DeployAuthor, _ transaction: Transaction) throws
        -> (selves: Set<String>, makers: Set<String>)
    {
        let prefix = ServiceAccount.subjectPrefix
        var (makers, next) = (Set<String>(), [account.identity])
        while let identity = next.popLast() {
            guard identity.hasPrefix(prefix), let id = AccountId(identity.dropFirst(prefix.count)) else { continue }
            let new = try transaction.makers(of: id).subtracting(makers)
            makers.formUnion(new)
            next += new
        }
        return ([account.identity, account.subject], makers)
    }

    /// The same, or whom two identity providers call the same.
    private static func isSame(_ left: String, _ right: String) -> Bool {
        if left == right { return true }
        if let left = third(left, "person:"), let right = third(right, "person:") { return left == right }
        if let left = third(left, "user:"), let right = third(right, "user:") { return left.lowercased() == right.lowercased() }
        return false
    }

    /// The `sub` of `person:ISSUER:SUB`, the name of `user:ISSUER:NAME`.
    private static func third(_ text: String, _ prefix: String) -> String? {
        guard text.hasPrefix(prefix) else { return nil }
        let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[2]) : nil
    }
}
