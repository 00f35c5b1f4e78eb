import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Foundation

/// Fetches one commit's files from a repository, in a sandbox that may reach its host and nothing else. What comes out is an archive like
/// an uploaded one, and trusted no more.
struct RepositoryFetch {
    static let limits = SandboxLimits(memoryInBytes: 2 << 30, cpuInMillicores: 2000, pids: 64, tmpInBytes: 1 << 30)
    static let seconds = 120
    static let maximumArchive = ArtifactStore.largestInBytes
    /// Its sandbox is made from the root file system of this runtime, with the tools for it.
    static let profile = "python3.11"

    let network: EgressNetwork
    let artifacts: ArtifactStore
    let opener: StoredSecrets
    let records: Records
    let policies: NamespacePolicies

    /// - Returns: the digest of its archive, the commit's id, and secrets that were found in the history.
    /// - Throws: `FetchFailure` for what its author must mend; `.secretMissing`.
    func fetch(_ git: GitSource, _ permitted: PermittedFunction) async throws -> (digest: String, commit: String, findings: [Diagnostic]) {
        guard let remote = GitRemote(git.url) else { throw Problem(.invalidRequest, "source.git.url is no URL of a repository") }
        let secret = try await credentials(of: git, permitted)
        let session = try await ShimSession.open(network, profile: Self.profile, purpose: .fetch, limits: Self.limits)
        do {
            try await session.waitUntilWarm()
            let answer = try await fetch(git, remote, secret, permitted, in: session)
            await session.close()
            return try await store(answer, git, permitted)
        } catch {
            await session.close()
            throw error
        }
    }

    private func fetch(
        _ git: GitSource, _ remote: GitRemote, _ secret: Secret?, _ permitted: PermittedFunction, in session: ShimSession
    ) async throws -> ShimSession.Answer {
        var fields = ShimFields()
        // For https they are put in on the way out: the sandbox has none. For ssh they are a key, which only it can use.
        var injections: Injections?
        switch (remote.transport, secret) {
        case (.https, let secret?):
            injections = try BasicCredentials.injections([(remote.host, BasicCredentials(userAndPassword: secret))], as: "REPOSITORY")
            if let injections { fields.add(.authority, injections.certificate) }
        case (.ssh, let secret?): secret.withBytes { fields.add(.secret, name: "key", value: $0) }
        case (_, nil): break
        }
        let namespace = permitted.namespace.id
        let egress = try await session.allow(
            [remote.host], owner: permitted.name.description, listed: { [policies] in policies.listed(namespace) }, injections: injections,
            secrets: injections?.redactor ?? Redactor([]))
        defer { egress.close() }
        let answer: ShimSession.Answer
        do {
            answer = try await session.ask(
                .fetch, fields, body: try FetchOrder(git, policies.policy(of: namespace).gate).bytes, expecting: .fetched,
                within: Self.seconds + 30,
                maximumBody: Self.maximumArchive + (8 << 20), onProgress: { _ in })
        } catch ShimSession.Failure.timeout {
            throw Problem(.fetchFailed, "\(git.url) was not fetched within \(Self.seconds) s")
        }
        guard answer.header.status == 0 else {
            throw FetchFailure(
                fault: ShimFault(meta: answer.meta), file: permitted.manifestFile, line: permitted.manifest.sourceLine)
        }
        return answer
    }

    private func credentials(of git: GitSource, _ permitted: PermittedFunction) async throws -> Secret? {
        guard let name = git.credentials else { return nil }
        let form = git.hostKeys == nil ? "user:password" : "a private key"
        let opened = try await opener.open([name], of: permitted.name, for: "the repository of \(permitted.name)", form: form)
        return opened[name]?.value
    }

    private func store(_ answer: ShimSession.Answer, _ git: GitSource, _ permitted: PermittedFunction) async throws
        -> (digest: String, commit: String, findings: [Diagnostic])
    {
        guard let end = answer.body.firstIndex(of: UInt8(ascii: "\n")), end <= 8 << 20, end + 1 < answer.body.count else {
            throw ShimSession.Failure.protocolFault
        }
        let report = try Self.report(Array(answer.body[..<end]))
        let isWhole = GitSource.isCommit(report.commit) && (!git.isPinned || report.commit == git.ref)
        guard isWhole, answer.body.count - end - 1 <= Self.maximumArchive else { throw ShimSession.Failure.protocolFault }
        let gate = policies.policy(of: permitted.namespace.id).gate
        guard report.submodules.allSatisfy({ gate.mayFetch(from: $0.url) && GitSource.isCommit($0.commit) }), report.submodules.count <= 100
        else { throw ShimSession.Failure.protocolFault }
        let upload = try artifacts.upload(by: nil)
        try upload.write(Array(answer.body[(end + 1)...]))
        let digest = try await upload.finish { digest in
            var details = ["function": permitted.name.description, "url": git.url, "commit": report.commit, "digest": digest]
            if !report.submodules.isEmpty {
                details.merge(AuditEvent.listed("submodules", report.submodules.map { "\($0.url)@\($0.commit)" })) { $1 }
            }
            let event = AuditEvent(.sourceFetched, permitted.namespace.auditScope, details)
            do { try await opener.audit.append(AuditContext.current?.completing(event) ?? event) } catch { throw Problem.auditUnavailable }
        }
        return (digest, report.commit, report.findings)
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func report(_ bytes: [UInt8]) throws -> Report {
        guard var report = try? JSONDecoder().decode(Report.self, from: Data(bytes)) else { throw ShimSession.Failure.protocolFault }
        report.findings = try GateReply.history(bytes)
        return report
    }

    private struct Report: Decodable {
        struct Submodule: Decodable { var url, commit: String }
        private enum CodingKeys: CodingKey { case commit, submodules }

        var commit: String
        var submodules: [Submodule]
        /// Secrets in the history.
        var findings: [Diagnostic] = []
    }
}

/// What the sandbox is asked for.
private struct FetchOrder: Encodable {
    let url, ref, folder: String
    let hostKeys, repositories: [String]
    let submodules, history: Bool
    let maximumBytes = Int(Build.maximumBytes)
    let maximumArchive = RepositoryFetch.maximumArchive
    let seconds = RepositoryFetch.seconds

    /// - Parameter gate: bounds what is asked on the way, too: submodules, and where the host sends on to.
    init(_ git: GitSource, _ gate: GatePolicy) {
        repositories = gate.repositories
        url = git.url
        ref = git.ref
        folder = git.folder ?? ""
        hostKeys = git.hostKeys ?? []
        submodules = git.submodules ?? false
        history = git.history ?? false
    }

    var bytes: [UInt8] { get throws { [UInt8](try JSONEncoder().encode(self)) } }
}

/// A source that its author must mend, or a repository that does not give it.
struct FetchFailure: Error {
    var fault: ShimFault
    /// The manifest that names it, and the line.
    var file: String
    var line: Int

    var problem: Problem {
        let code: Problem.Code =
            switch fault.code {
            case "archive-refused": .archiveRefused
            case "too-large": .tooLarge
            default: .fetchFailed
            }
        return Problem(code, fault.message, reason: fault.code)
    }
}
