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

    fileprivate init(planned: PlannedFunction, digest: BundleDigest, lock: String?) {
        self.planned = planned
        self.digest = digest
        self.lock = lock
    }
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
            return try await build(planned, archive, injections, in: session)
        } catch {
            await session.close()
            throw error
        }
    }

    private func build(
        _ planned: PlannedFunction, _ archive: Descriptor, _ injections: Injections?, in session: ShimSession
    ) async throws -> Bundle {
        var fields = ShimFields()
        fields.add(.handler, planned.manifest.spec.handler)
        fields.add(.function, planned.name.description)
        fields.add(.policy, planned.manifest.dependencyPolicy.rawValue)
        fields.add(.unpackLimit, "\(Self.maximumBytes)")
        fields.add(.index, index.url)
        if let injections { fields.add(.authority, injections.certificate) }
        if let lock = planned.active?.lock { fields.add(.lock, lock) }
        let answer: ShimSession.Answer
        do {
            answer = try await session.ask(
                .build, fields, descriptor: archive, expecting: .built, within: Self.seconds, maximumBody: 1 << 20)
        } catch ShimSession.Failure.timeout {
            throw Problem(.buildFailed, "the build took longer than \(Self.seconds) s")
        }
        if answer.header.status != 0 {
            throw BuildFailure(fault: ShimFault(meta: answer.meta), output: String(decoding: answer.printed + answer.body, as: UTF8.self))
        }
        let report = try? JSONDecoder().decode(Report.self, from: Data(answer.body))
        let (reply, _) = try await session.warden.order(
            .collect(sandbox: session.handle.id, maximumBytes: Self.maximumBytes, maximumFiles: Self.maximumFiles))
        guard case .collected(let digest, _, _) = reply else { throw WardenFailure.unexpected }
        return Bundle(planned: planned, digest: digest, lock: report?.lock)
    }

    private struct Report: Decodable { var lock: String? }
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
