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
        let author = DeployAuthor(subject: revision.createdBy, identity: revision.authorIdentity)
        guard try !Kinship.areOne(author, approver, transaction) else {
            throw Problem(
                .selfApproval,
                "revision \(number) of \(function.name) is your own, or of an account that is yours; somebody else has to look at it")
        }
    }
}

/// Whether two accounts may be one person's. It errs on the side of yes: nobody is kept from anything but from approving.
enum Kinship {
    static func areOne(_ author: DeployAuthor, _ approver: DeployAuthor, _ transaction: Transaction) throws -> Bool {
        if author.identity == approver.identity || author.subject == approver.subject { return true }
        // Whom two identity providers call the same.
        if let (author, approver) = both(person, author.identity, approver.identity), author == approver { return true }
        if let (author, approver) = both(userName, author.subject, approver.subject), author.lowercased() == approver.lowercased() {
            return true
        }
        let makersOfAuthor = try makers(of: author.identity, transaction)
        let makersOfApprover = try makers(of: approver.identity, transaction)
        return makersOfAuthor.contains(approver.subject) || makersOfApprover.contains(author.subject)
    }

    private static func both(_ part: (String) -> String?, _ left: String, _ right: String) -> (String, String)? {
        guard let left = part(left), let right = part(right) else { return nil }
        return (left, right)
    }

    /// The `sub` of `person:ISSUER:SUB`.
    private static func person(_ identity: String) -> String? { third(identity, "person:") }

    /// The name of `user:ISSUER:NAME`.
    private static func userName(_ subject: String) -> String? { third(subject, "user:") }

    private static func third(_ text: String, _ prefix: String) -> String? {
        guard text.hasPrefix(prefix) else { return nil }
        let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[2]) : nil
    }

    /// Who knows a service account's secret, and whoever may act as one of those.
    private static func makers(of identity: String, _ transaction: Transaction) throws -> Set<String> {
        let prefix = ServiceAccount.subjectPrefix
        guard identity.hasPrefix(prefix), let id = AccountId(identity.dropFirst(prefix.count)) else { return [] }
        var (found, next) = (Set<String>(), [id])
        while let id = next.popLast() {
            let new = try transaction.makers(of: id).subtracting(found)
            found.formUnion(new)
            for subject in new where subject.hasPrefix(prefix) {
                let parts = subject.dropFirst(prefix.count).split(separator: "/")
                guard parts.count == 2, let name = NamespaceName(parts[0]), let label = AccountLabel(parts[1]),
                    let namespace = try transaction.namespace(name), let account = try transaction.serviceAccount(label, in: namespace.id)
                else { continue }
                next.append(account.id)
            }
        }
        return found
    }
}
