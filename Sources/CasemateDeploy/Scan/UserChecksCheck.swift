import CasemateModel
import CasemateSandbox
import CasemateWire

/// Runs the author's own tests, type check and lint over the bundle, in a sandbox without network and without secrets. They end with the
/// first that does not pass.
struct UserChecksCheck: ScanCheck {
    static let limits = SandboxLimits(memoryInBytes: 1 << 30, cpuInMillicores: 2000, pids: 128, tmpInBytes: 256 << 20)
    static let seconds = 120
    let network: EgressNetwork

    func examine(_ subject: inout ScanSubject) async throws {
        // What is promoted has passed them, and is not another since.
        guard let checks = subject.spec.checks, subject.bundle.planned.promoted == nil else { return }
        // Code of the author's runs in it: for this bundle alone.
        let session = try await ShimSession.open(network, profile: subject.spec.runtime, purpose: .check, limits: Self.limits)
        do {
            try await session.waitUntilWarm(within: 30)
            _ = try await network.warden.order(
                .specialise(sandbox: session.handle.id, bundle: subject.bundle.digest, limits: Self.limits))
            for check in checks { try await run(check, subject, in: session) }
            await session.close()
        } catch {
            await session.close()
            throw error
        }
    }

    private func run(_ check: UserCheck, _ subject: ScanSubject, in session: ShimSession) async throws {
        var fields = ShimFields()
        fields.add(.checkKind, check.kind.rawValue)
        for word in check.words { fields.add(.word, word) }
        fields.add(.seconds, "\(Self.seconds)")
        for (name, value) in subject.spec.environment { fields.add(.environment, name: name.text, value: Array(value.utf8)) }
        let begin = ContinuousClock.now
        let answer: ShimSession.Answer
        do {
            answer = try await session.ask(
                .verify, fields, expecting: .verified, within: Self.seconds + 10, maximumBody: 1 << 17)
        } catch ShimSession.Failure.timeout {
            throw failure(of: check, subject, "did not end within \(Self.seconds) s", "")
        } catch ShimSession.Failure.ended(let printed) {
            let said = String(decoding: printed.suffix(8192), as: UTF8.self)
            throw failure(
                of: check, subject, "ended its sandbox; it may have gone over the memory of \(Self.limits.memoryInBytes >> 20) MiB", said)
        }
        let took = Int((ContinuousClock.now - begin) / .milliseconds(1))
        guard answer.header.status != 0 else {
            subject.progress?(.check(CheckProgress(check: "gate.\(check.kind.rawValue)", findings: 0, milliseconds: took)))
            return
        }
        let fault = ShimFault(meta: answer.meta)
        throw UserCheckFailure(
            check: check.kind, fault: fault, manifest: subject.bundle.planned.manifestFile,
            line: subject.bundle.planned.manifest.lines.checks[check.kind], output: String(decoding: answer.body, as: UTF8.self))
    }

    private func failure(of check: UserCheck, _ subject: ScanSubject, _ what: String, _ output: String) -> UserCheckFailure {
        UserCheckFailure(
            check: check.kind,
            fault: ShimFault(code: "check-failed", message: "\(check.words.first ?? check.kind.rawValue) \(what); see that it needs less"),
            manifest: subject.bundle.planned.manifestFile, line: subject.bundle.planned.manifest.lines.checks[check.kind], output: output)
    }
}

/// One of the author's checks did not pass: what it printed says why.
struct UserCheckFailure: Error {
    var check: UserCheck.Kind
    var fault: ShimFault
    var manifest: String
    var line: Int?
    var output: String

    var problem: Problem {
        Problem(.gateFailed, "gate.\(check.rawValue) did not pass: \(fault.message.prefix(300))", reason: fault.code)
    }
}
