import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Foundation

/// A bundle in the warden's store, made in a build sandbox. Made only by `Build`.
public struct Bundle: Sendable {
    public let planned: PlannedFunction
    public let digest: BundleDigest
    /// Every dependency with its hashes; nil when there are none.
    public let lock: String?
    /// What the source itself asks for, and where.
    let direct: [RequestedPackage]
    /// When the first version of a package came to its index, RFC 3339, as far as that tells.
    let firstUploads: [String: String]
    /// Names of packages that were built here.
    let fromSource: [String]
    /// What stands in the files of the manifest's `inputSchema`, by path.
    let schemas: [String: String]

    /// What another namespace runs, as it is.
    fileprivate init?(planned: PlannedFunction, _ promoted: PromotedRevision) {
        guard let digest = BundleDigest(hex: promoted.revision.bundleDigest) else { return nil }
        self.planned = planned
        self.digest = digest
        lock = promoted.revision.lock
        direct = (promoted.contents.components ?? []).filter(\.direct).compactMap { component in
            component.file.map { RequestedPackage(name: component.name, file: $0, line: component.line) }
        }
        firstUploads = [:]
        fromSource = []
        schemas = [:]
    }

    fileprivate init(planned: PlannedFunction, digest: BundleDigest, report: BuildReport) {
        self.planned = planned
        self.digest = digest
        lock = report.lock
        direct = report.direct ?? []
        firstUploads = report.firstUploads ?? [:]
        fromSource = report.fromSource ?? []
        schemas = report.schemas ?? [:]
    }
}

/// A package that a source asks for itself.
struct RequestedPackage: Codable, Sendable {
    /// As PEP 503 writes it.
    var name: String
    var file: String
    var line: Int?
}

/// What a build says of itself.
struct BuildReport: Decodable, Sendable {
    var lock: String?
    var direct: [RequestedPackage]?
    var firstUploads: [String: String]?
    var fromSource: [String]?
    var schemas: [String: String]?
    /// Packages that there must be a second phase for.
    var toBuild: [String]?
}

/// Unpacks, locks, installs and compiles inside a sandbox; the warden stores what comes out.
struct Build {
    static let limits = SandboxLimits(memoryInBytes: 2 << 30, cpuInMillicores: 2000, pids: 256, tmpInBytes: 1 << 30)
    static let maximumBytes: UInt64 = 500 << 20
    static let maximumFiles: UInt32 = 50_000
    static let seconds = 300

    let network: EgressNetwork
    let artifacts: ArtifactStore
    let index: PackageIndex
    let opener: StoredSecrets
    let records: Records
    let policies: NamespacePolicies

    func callAsFunction(_ planned: PlannedFunction) async throws -> Bundle {
        if let promoted = planned.promoted {
            guard let bundle = Bundle(planned: planned, promoted) else { throw Problem(.tampered, "the revision names no bundle") }
            return bundle
        }
        guard let archive = try await artifacts.open(planned.sourceDigest) else {
            throw Problem(.invalidRequest, "the uploaded source is gone; deploy again")
        }
        let indexes = try await BuildIndexes(index, planned, opener)
        let profile = planned.manifest.spec.runtime
        let first = try await inSession(profile) { session async throws -> Built in
            try await fetch(planned, archive, indexes, in: session)
        }
        guard first.report.toBuild?.isEmpty == false else { return Bundle(planned: planned, digest: first.digest, report: first.report) }
        // Other people's build steps run in a sandbox without any way out, on what the first one has fetched.
        do {
            let second = try await inSession(profile) { session async throws -> Built in
                let order = Order.specialise(sandbox: session.handle.id, bundle: first.digest, limits: Self.limits)
                _ = try await session.warden.order(order)
                var fields = ShimFields()
                fields.add(.phase, "second")
                return try await ask(fields, archive: nil, in: session)
            }
            await forget(first.digest)
            var report = first.report
            report.fromSource = second.report.fromSource
            return Bundle(planned: planned, digest: second.digest, report: report)
        } catch {
            await forget(first.digest)
            throw error
        }
    }

    private struct Built {
        let digest: BundleDigest
        let report: BuildReport
    }

    private func inSession(_ profile: String, _ body: (ShimSession) async throws -> Built) async throws -> Built {
        let session = try await ShimSession.open(network, profile: profile, purpose: .build, limits: Self.limits)
        do {
            try await session.waitUntilWarm()
            return try await body(session)
        } catch {
            await session.close()
            throw error
        }
    }

    private func fetch(
        _ planned: PlannedFunction, _ archive: Descriptor, _ indexes: BuildIndexes, in session: ShimSession
    ) async throws -> Built {
        let namespace = planned.namespace.id
        // The operator's own index, whatever it resolves to. One that a manifest names is a host like those of functions.
        var listed: (@Sendable () -> [AddressRange])?
        if !indexes.isOperators { listed = { [policies] in policies.listed(namespace) } }
        let egress = try await session.allow(
            indexes.hosts, owner: planned.name.description, listed: listed, injections: indexes.injections,
            secrets: indexes.injections?.redactor ?? Redactor([]))
        defer { egress.close() }
        let attached = await attach(planned.active, in: session)
        return try await build(planned, archive, indexes, attached, in: session)
    }

    private func forget(_ bundle: BundleDigest) async {
        if (try? await records.read { try $0.isBundleUsed(bundle.hex) }) == false {
            _ = try? await network.warden.order(.removeBundle(bundle))
        }
    }

    /// Shows the build what is live, whose packages it may copy: nothing of it runs here.
    /// - Returns: the lock of what it sees; nil where it sees nothing.
    private func attach(_ active: Revision?, in session: ShimSession) async -> String? {
        guard let active, let lock = active.lock, let bundle = BundleDigest(hex: active.bundleDigest) else { return nil }
        // One that can't be had, or is not what was stored, is a matter of the calls to it.
        let order = Order.specialise(sandbox: session.handle.id, bundle: bundle, limits: Self.limits)
        return (try? await session.warden.order(order)) == nil ? nil : lock
    }

    private func build(
        _ planned: PlannedFunction, _ archive: Descriptor, _ indexes: BuildIndexes, _ attached: String?, in session: ShimSession
    ) async throws -> Built {
        var fields = ShimFields()
        fields.add(.handler, planned.manifest.spec.handler)
        fields.add(.function, planned.name.description)
        fields.add(.policy, planned.dependencyPolicy.rawValue)
        fields.add(.unpackLimit, "\(Self.maximumBytes)")
        indexes.add(to: &fields)
        if let lock = planned.active?.lock { fields.add(.lock, lock) }
        if let attached { fields.add(.attachedLock, attached) }
        if !planned.upgrades.isEmpty { fields.add(.upgrade, planned.upgrades.joined(separator: ",")) }
        for name in planned.manifest.spec.packageSources?.fromSource ?? [] { fields.add(.sourceDistribution, name) }
        if let schemas = planned.manifest.spec.inputSchema {
            for path in Set(InputSchemas.Part.allCases.compactMap { schemas[$0]?.path }).sorted() { fields.add(.schema, path) }
        }
        return try await ask(fields, archive: archive, in: session)
    }

    /// Has the sandbox build, and stores what came of it.
    private func ask(_ fields: ShimFields, archive: Descriptor?, in session: ShimSession) async throws -> Built {
        let answer: ShimSession.Answer
        do {
            answer = try await session.ask(
                .build, fields, descriptor: archive, expecting: .built, within: Self.seconds, maximumBody: 4 << 20)
        } catch ShimSession.Failure.timeout {
            throw Problem(.buildFailed, "the build took longer than \(Self.seconds) s")
        }
        if answer.header.status != 0 {
            throw BuildFailure(fault: ShimFault(meta: answer.meta), output: String(decoding: answer.printed + answer.body, as: UTF8.self))
        }
        let report = try Self.report(answer.body)
        let (reply, _) = try await session.warden.order(
            .collect(sandbox: session.handle.id, maximumBytes: Self.maximumBytes, maximumFiles: Self.maximumFiles))
        guard case .collected(let digest, _, _) = reply else { throw WardenFailure.unexpected }
        return Built(digest: digest, report: report)
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func report(_ bytes: [UInt8]) throws -> BuildReport {
        do { return try JSONDecoder().decode(BuildReport.self, from: Data(bytes)) } catch { throw ShimSession.Failure.protocolFault }
    }
}

/// A build that its author must mend: where, what, and what the tools printed.
struct BuildFailure: Error {
    var fault: ShimFault
    var output: String

    var problem: Problem {
        let code: Problem.Code =
            switch fault.code {
            case "archive-refused": .archiveRefused
            case "too-large": .tooLarge
            case "handler-missing", "handler-not-callable", "signature-unknown", "import-error", "syntax-error": .handlerFailed
            case "schema-unreadable": .invalidManifest
            default: .buildFailed
            }
        return Problem(code, fault.message, reason: fault.code)
    }
}
