import CasemateModel
import CasemateStore

/// One function's source, here as an archive. Made only by `Fetch`.
public struct FetchedSource: Sendable {
    let digest: String
    /// With its commit; nil where the source was uploaded.
    let git: GitSource?
    /// Secrets in the history of its repository, where that was asked for.
    let findings: [Diagnostic]

    fileprivate init(digest: String, git: GitSource? = nil, findings: [Diagnostic] = []) {
        self.digest = digest
        self.git = git
        self.findings = findings
    }
}

/// Gets hold of the source: what was uploaded for it, what is live already, or what a repository has.
struct Fetch {
    let artifacts: ArtifactStore
    let repository: RepositoryFetch

    /// - Throws: `.invalidRequest` for a source that was not uploaded; `.fetchFailed` for one that could not be fetched; `.unavailable` for one
    ///   that is not what its digest says.
    func callAsFunction(_ permitted: PermittedFunction, request: DeployRequest) async throws -> FetchedSource {
        let label = permitted.name.function
        let uploaded = request.sources[label]
        if let promoted = request.promoted {
            // What it was made from is not looked at: it was built and approved.
            return FetchedSource(
                digest: promoted.revision.sourceDigest, git: permitted.manifest.spec.git,
                findings: promoted.revision.findings.filter { $0.finding?.check == "history" })
        }
        guard request.upgrades.isEmpty else {
            // What is live, which whoever asks may not have seen.
            let history = (permitted.active?.findings ?? []).filter { $0.finding?.check == "history" }
            return try await stored(uploaded, label, git: permitted.manifest.spec.git, findings: history)
        }
        guard let git = permitted.manifest.spec.git else {
            guard let uploaded, artifacts.isUploaded(uploaded, by: request.identity) else {
                throw Problem(.invalidRequest, uploaded.map { Self.missing($0, label) } ?? "no source was uploaded for \(label)")
            }
            return try await stored(uploaded, label, git: nil)
        }
        guard uploaded == nil else { throw Problem(.invalidRequest, "the source of \(label) comes from git; upload none for it") }
        if let kept = await kept(git, of: permitted.active) { return kept }
        request.progress?(.stage("fetch", of: permitted.name))
        let (digest, commit, findings) = try await repository.fetch(git, permitted)
        var fetched = git
        fetched.commit = commit
        return FetchedSource(digest: digest, git: fetched, findings: findings)
    }

    /// What is live, where that was made from the very commit that is asked for. An archive that can't be had is fetched anew.
    private func kept(_ git: GitSource, of active: Revision?) async -> FetchedSource? {
        guard git.isPinned, git.history == nil, let active, let before = (try? CanonicalSpec.decode(active.specBytes))?.git,
            before.url == git.url, before.commit == git.ref, before.folder == git.folder, before.submodules == git.submodules,
            (try? await artifacts.open(active.sourceDigest)) != nil
        else { return nil }
        var fetched = git
        fetched.commit = git.ref
        return FetchedSource(digest: active.sourceDigest, git: fetched)
    }

    private func stored(_ digest: String?, _ label: FunctionLabel, git: GitSource?, findings: [Diagnostic] = []) async throws
        -> FetchedSource
    {
        guard let digest, try await artifacts.open(digest) != nil else { throw Problem(.invalidRequest, Self.missing(digest ?? "", label)) }
        return FetchedSource(digest: digest, git: git, findings: findings)
    }

    private static func missing(_ digest: String, _ label: FunctionLabel) -> String {
        "the source \(digest.prefix(12))… of \(label) is not here; upload it first"
    }
}
