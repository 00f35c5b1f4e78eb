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

    fileprivate init(planned: PlannedFunction, digest: BundleDigest, report: BuildReport) {
        self.planned = planned
        self.digest = digest
        lock = report.lock
        direct = report.direct ?? []
        firstUploads = report.firstUploads ?? [:]
        fromSource = report.fromSource ?? []
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

    func callAsFunction(_ planned: PlannedFunction) async throws -> Bundle {
        guard let archive = artifacts.open(planned.sourceDigest) else {
            throw Problem(.invalidRequest, "the uploaded source is gone; deploy again")
        }
        let session = try await ShimSession.open(network, profile: planned.manifest.spec.runtime, purpose: .build, limits: Self.limits)
        do {
            try await session.waitUntilWarm()
            // The index's own hosts, whatever they resolve to: the operator chose them. Functions never profit from this.
            let injections = try index.injections()
            let egress = try await session.allow(
                index.hosts, owner: planned.name.description, listed: nil, injections: injections,
                secrets: injections?.redactor ?? Redactor([]))
            defer { egress.close() }
            let attached = await attach(planned.active, in: session)
            return try await build(planned, archive, injections, attached, in: session)
        } catch {
            await session.close()
            throw error
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
        _ planned: PlannedFunction, _ archive: Descriptor, _ injections: Injections?, _ attached: String?, in session: ShimSession
    ) async throws -> Bundle {
        var fields = ShimFields()
        fields.add(.handler, planned.manifest.spec.handler)
        fields.add(.function, planned.name.description)
        fields.add(.policy, planned.dependencyPolicy.rawValue)
        fields.add(.unpackLimit, "\(Self.maximumBytes)")
        fields.add(.index, index.url)
        if let injections { fields.add(.authority, injections.certificate) }
        if let lock = planned.active?.lock { fields.add(.lock, lock) }
        if let attached { fields.add(.attachedLock, attached) }
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
        return Bundle(planned: planned, digest: digest, report: report)
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
            default: .buildFailed
            }
        return Problem(code, fault.message, reason: fault.code)
    }
}
