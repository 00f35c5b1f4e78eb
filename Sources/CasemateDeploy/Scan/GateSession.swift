import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateVault
import CasemateWire
import Foundation

/// A sandbox without network in which the gate's tools wait, and nothing of a user's ever runs: it searches a bundle, matches advisories,
/// reads an archive of them. What comes out of it is no more to be trusted than what goes in.
struct GateSession: Sendable {
    static let limits = SandboxLimits(memoryInBytes: 1 << 30, cpuInMillicores: 2000, pids: 64, tmpInBytes: 256 << 20)
    /// Its sandbox is made from the root file system of this runtime, with the tools for it.
    static let profile = "python3.11"
    private let session: ShimSession

    static func open(_ network: EgressNetwork) async throws -> GateSession {
        let session = try await ShimSession.open(network, profile: profile, purpose: .scan, limits: limits)
        do { try await session.waitUntilWarm(within: 30) } catch {
            await session.close()
            throw error
        }
        return GateSession(session: session)
    }

    /// Attaches what is to be searched, in the place of what was there.
    func show(_ bundle: BundleDigest) async throws {
        _ = try await session.warden.order(.specialise(sandbox: session.handle.id, bundle: bundle, limits: Self.limits))
    }

    /// Nothing has come and its end has not: it waits.
    var isOpen: Bool { session.isWaiting }

    func close() async { await session.close() }

    /// - Parameter request: JSON with its `operation`.
    /// - Parameter secrets: values to look for, each with whose it is.
    /// - Throws: `.gateFailed` where it can't be done: nothing passes that was not looked at.
    func ask(
        _ request: [UInt8], secrets: [(owner: FunctionName, secret: OpenedSecret)] = [], archive: Descriptor? = nil, within seconds: Int,
        maximumBody: Int = 16 << 20, onProgress: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> [UInt8] {
        var fields = ShimFields()
        for (owner, secret) in secrets { secret.value.withBytes { fields.add(.secret, name: "\(owner)/\(secret.name)", value: $0) } }
        let answer: ShimSession.Answer
        do {
            // Which answer is to which request cannot be guessed by what a request before has left behind.
            answer = try await session.ask(
                .scan, fields, body: request, call: UInt32.random(in: 1...(.max)), descriptor: archive, expecting: .scanned,
                within: seconds, maximumBody: maximumBody,
                onProgress: onProgress ?? { _ in })
        } catch ShimSession.Failure.timeout {
            throw Problem(.gateFailed, "the checks took longer than \(seconds) s")
        }
        guard answer.header.status == 0 else {
            throw GateRefusal(why: Self.why(answer.body))
        }
        return answer.body
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func why(_ bytes: [UInt8]) -> String {
        struct Refusal: Decodable { var problem: String }
        let why = (try? JSONDecoder().decode(Refusal.self, from: Data(bytes)))?.problem
        return String((why ?? "the checks could not be made").prefix(500))
    }
}

/// Why the checks can't do what they were asked for.
struct GateRefusal: Error { var why: String }
