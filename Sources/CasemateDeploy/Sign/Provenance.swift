import CasemateModel
import CasemateVault
import Foundation

/// How a revision came to be, for those who check such things with tools of their own: an in-toto statement with SLSA's predicate.
///
/// Sources: in-toto Attestation Framework v1 (Statement), SLSA v1.0 (Provenance). It names no value: not of the environment, not of a secret,
/// no credential of an index or of a repository.
struct Provenance: Encodable {
    static let payloadType = "application/vnd.in-toto+json"
    static let buildType = "urn:casemate:function-build:v1"

    let type = "https://in-toto.io/Statement/v1"
    let subject: [Artifact]
    let predicateType = "https://slsa.dev/provenance/v1"
    let predicate: Predicate

    private enum CodingKeys: String, CodingKey {
        case type = "_type"
        case subject, predicateType, predicate
    }

    /// in-toto's ResourceDescriptor.
    struct Artifact: Encodable {
        var name: String?
        var uri: String?
        var digest: [String: String]
    }

    struct Predicate: Encodable {
        var buildDefinition: Definition
        var runDetails: Details
    }

    struct Definition: Encodable {
        let buildType = Provenance.buildType
        var externalParameters: External
        var internalParameters: Internal
        var resolvedDependencies: [Artifact]
    }

    /// What whoever deploys has a say in.
    struct External: Encodable {
        var namespace: String
        var function: String
        /// SHA-256 of the manifest's text; nil where it was deployed from what is live or was promoted.
        var manifest: [String: String]?
        var source: Source
        /// Whose signature it was deployed with.
        var signer: DeploymentSigner?
        var promotedFrom: RevisionOrigin?
    }

    struct Source: Encodable {
        /// Of the archive.
        var digest: [String: String]
        var git: Git?
    }

    struct Git: Encodable {
        var url: String
        var ref: String
        var commit: String?
        var folder: String?
    }

    struct Internal: Encodable {
        var revision: Int
        var runtime: String
        var dependencyPolicy: String
    }

    struct Details: Encodable {
        var builder: Builder
        var metadata: Metadata
        var byproducts: [Artifact]
    }

    struct Builder: Encodable {
        /// The server, by the key that it signs with.
        var id: String
        var version: [String: String]
    }

    struct Metadata: Encodable {
        /// The revision's id.
        var invocationId: String
        var startedOn: String
        var finishedOn: String
    }
}

extension Provenance {
    /// One spelling: what is signed are these bytes.
    var bytes: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return [UInt8](try encoder.encode(self))
        }
    }

    /// The source, and every file that a package may have been installed from.
    static func dependencies(source: String, git: GitSource?, lock: String?, components: [Component]) -> [Artifact] {
        let commit = git.flatMap { git in git.commit.map { Artifact(uri: "git+\(git.url)@\($0)", digest: ["gitCommit": $0]) } }
        let hashes = Lock.hashes(lock ?? "")
        let packages = components.filter { !$0.vendored }.flatMap { component in
            (hashes[component.name] ?? []).sorted().map {
                Artifact(name: "\(component.name) \(component.version)", uri: component.purl, digest: ["sha256": $0])
            }
        }
        return [commit ?? Artifact(name: "source", digest: ["sha256": source])] + packages
    }
}

extension Provenance {
    /// - Parameters:
    ///   - revision: with all but its own digest and signature.
    ///   - manifest: SHA-256 of its text.
    ///   - server: the id of the key that it is signed with.
    init(
        of revision: Revision, _ name: FunctionName, manifest: String?, _ contents: BundleContents, server: String, started: Timestamp
    ) throws {
        let spec = try CanonicalSpec.decode(revision.specBytes)
        let git = spec.git.map { Git(url: $0.url, ref: $0.ref, commit: $0.commit, folder: $0.folder) }
        var byproducts: [Artifact] = []
        if let sbom = contents.sbom { byproducts.append(Artifact(name: "sbom.cdx.json", digest: ["sha256": HexDigest.sha256(sbom)])) }
        if let lock = revision.lock { byproducts.append(Artifact(name: "lock", digest: ["sha256": HexDigest.sha256(Array(lock.utf8))])) }
        let findings = try JSONEncoder().encode(revision.findings)
        byproducts.append(Artifact(name: "findings.json", digest: ["sha256": HexDigest.sha256([UInt8](findings))]))
        subject = [Artifact(name: name.description, digest: ["sha256": revision.bundleDigest])]
        predicate = Predicate(
            buildDefinition: Definition(
                externalParameters: External(
                    namespace: name.namespace.text, function: name.function.text, manifest: manifest.map { ["sha256": $0] },
                    source: Source(digest: ["sha256": revision.sourceDigest], git: git), signer: revision.signer,
                    promotedFrom: revision.origin),
                internalParameters: Internal(
                    revision: revision.number, runtime: spec.runtime,
                    dependencyPolicy: spec.dependencyPolicy ?? DependencyPolicy.auto.rawValue),
                resolvedDependencies: Self.dependencies(
                    source: revision.sourceDigest, git: spec.git, lock: revision.lock, components: contents.components ?? [])),
            runDetails: Details(
                builder: Builder(id: "urn:casemate:server:\(server)", version: ["casemate": CasemateVersion.text]),
                metadata: Metadata(
                    invocationId: revision.id.text, startedOn: started.rfc3339, finishedOn: revision.created.rfc3339),
                byproducts: byproducts))
    }
}
