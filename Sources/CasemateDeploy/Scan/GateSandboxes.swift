import CasemateModel
import CasemateSandbox

/// Hands out sandboxes with the gate's tools. While deployments come, the next one is warm already: loading the tools takes longer than
/// most checks.
public actor GateSandboxes {
    private let network: EgressNetwork
    private var next: Task<GateSession, any Error>?
    private var uses = 0
    private static let idle = Duration.seconds(600)

    public init(network: EgressNetwork) { self.network = network }

    /// Ends the sandbox when `body` is done.
    nonisolated func withSession<R: Sendable>(_ body: @Sendable (GateSession) async throws -> R) async throws -> R {
        let session = try await take()
        do {
            let result = try await body(session)
            await session.close()
            return result
        } catch {
            await session.close()
            throw error
        }
    }

    private func take() async throws -> GateSession {
        let waiting = next
        next = nil
        uses += 1
        defer { prepare() }
        // One that was warm may have ended with its warden.
        if let waiting, let session = try? await waiting.value, session.isOpen { return session }
        return try await GateSession.open(network)
    }

    private func prepare() {
        let use = uses
        guard next == nil else { return }
        next = Task { [network] in try await GateSession.open(network) }
        Task {
            try? await Task.sleep(for: Self.idle)
            await letGo(since: use)
        }
    }

    /// Nobody has deployed for a while: its memory is of more use elsewhere.
    private func letGo(since use: Int) async {
        guard uses == use, let waiting = next else { return }
        next = nil
        await (try? waiting.value)?.close()
    }
}
