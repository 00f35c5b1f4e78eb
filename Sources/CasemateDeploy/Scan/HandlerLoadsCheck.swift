import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire

/// Loads the handler once, as a cold start will, and writes down which signature it has.
struct HandlerLoadsCheck: ScanCheck {
    let records: Records
    let opener: StoredSecrets
    let network: EgressNetwork
    let policies: NamespacePolicies

    func examine(_ subject: inout ScanSubject) async throws {
        let planned = subject.bundle.planned
        let session = try await ShimSession.open(network, profile: subject.spec.runtime, purpose: .run, limits: SandboxPool.startLimits)
        let answer: ShimSession.Answer
        // What code says and sends while it is loaded may hold the secrets that it was given.
        // What somebody else has to approve first has neither: it might send them wherever it may now reach.
        let waits = !planned.needsApproval(subject.spec, lock: subject.bundle.lock).isEmpty
        let stored = waits ? [] : try await stored(subject)
        let redactor = Redactor(stored.map(Needle.init))
        do {
            try await session.waitUntilWarm()
            let namespace = subject.bundle.planned.namespace.id
            let egress = try await session.allow(
                waits ? [] : subject.spec.reachable(granted: Set(subject.spec.grantedEgress ?? [])),
                owner: subject.bundle.planned.name.description,
                listed: { [policies] in policies.listed(namespace) }, secrets: redactor)
            defer { egress.close() }
            _ = try await network.warden.order(
                .specialise(sandbox: session.handle.id, bundle: subject.bundle.digest, limits: SandboxLimits(subject.spec.limits)))
            let begin = ContinuousClock.now
            answer = try await session.ask(
                .specialise, Self.fields(subject, stored), expecting: .specialised, within: 60, maximumBody: 65_536)
            subject.loadInMilliseconds = Int((ContinuousClock.now - begin) / .milliseconds(1))
        } catch ShimSession.Failure.timeout {
            await session.close()
            throw Problem(.handlerFailed, "loading the handler took longer than 60 s", reason: "timeout")
        } catch ShimSession.Failure.ended {
            await session.close()
            throw Problem(.handlerFailed, "the sandbox ended while the handler was loaded (memory limit, or the code ends its process)")
        } catch {
            await session.close()
            throw error
        }
        await session.close()
        if answer.header.status == 0 {
            subject.spec.signature =
                FunctionSpec.Signature(rawValue: String(decoding: answer.meta, as: UTF8.self)) ?? subject.spec.signature
            return
        }
        func clean(_ text: String) -> String { redactor.redact(Array(text.utf8)).map { String(decoding: $0.bytes, as: UTF8.self) } ?? text }
        var fault = ShimFault(meta: answer.meta)
        fault.message = clean(fault.message)
        // Code may read a secret while it is loaded; without a value that can't be judged.
        let missing = subject.spec.secrets.filter { name in !stored.contains { $0.name == name } }
        if fault.code == "import-error", waits || !missing.isEmpty {
            let why = waits ? "what it may have once it is approved" : "its secrets"
            subject.findings.append(
                Diagnostic(
                    .warning, file: fault.file ?? planned.name.description, line: fault.line,
                    what: "the handler could not be loaded without \(why): \(fault.message)",
                    fix: waits ? "call it once it is approved" : "set them, then call it"))
            return
        }
        throw BuildFailure(fault: fault, output: clean(String(decoding: answer.body, as: UTF8.self)))
    }

    private func stored(_ subject: ScanSubject) async throws -> [OpenedSecret] {
        let planned = subject.bundle.planned
        let references = subject.spec.references ?? []
        let elsewhere = try await opener.resolve(references, in: planned.namespace, for: "loading \(planned.name)")
        guard let function = planned.existing else { return elsewhere }
        let names = Set(references.map(\.name))
        let sealed = try await records.read { try $0.secrets(of: function.id) }.filter { !names.contains($0.name) }
        return try await opener.open(sealed, of: function, for: "loading \(function.name)") + elsewhere
    }

    private static func fields(_ subject: ScanSubject, _ stored: [OpenedSecret]) -> ShimFields {
        let spec = subject.spec
        var fields = ShimFields()
        fields.add(.handler, spec.handler)
        fields.add(.signature, spec.signature?.rawValue ?? "")
        fields.add(.function, subject.bundle.planned.name.description)
        fields.add(.revision, "0")
        fields.add(.memoryInMiB, "\(spec.limits.memoryInBytes >> 20)")
        for (name, value) in spec.environment { fields.add(.environment, name: name.text, value: Array(value.utf8)) }
        if let concurrency = spec.limits.concurrency { fields.add(.concurrency, "\(concurrency)") }
        // With a process per call, the one that loads the handler has no secrets.
        if spec.isolation == .call {
            fields.add(.isolation, "call")
            return fields
        }
        for secret in stored where spec.secrets.contains(secret.name) {
            guard spec.isHandedOver(secret.name) else {
                fields.add(.secret, name: secret.name.text, value: Array(InjectedSecret.placeholder(of: secret.name).utf8))
                continue
            }
            secret.value.withBytes { fields.add(.secret, name: secret.name.text, value: $0) }
        }
        return fields
    }
}
