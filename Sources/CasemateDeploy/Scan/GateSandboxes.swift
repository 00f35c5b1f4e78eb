import CasemateModel
import CasemateSandbox

/// Hands out sandboxes with the gate's tools. They are used again: loading the tools takes longer than most checks, and each request is
/// served in a process of its own there, which sees nothing of the ones before.
public actor GateSandboxes {
    private let network: EgressNetwork
    private var waiting: [GateSession] = []
    private var uses = 0
    private static let most = 2
    private static let idle = Duration.seconds(600)

    public init(network: EgressNetwork) { self.network = network }

    /// The sandbox ends with whatever `body` throws.
    nonisolated func withSession<R: Sendable>(_ body: @Sendable (GateSession) async throws -> R) async throws -> R {
        let session = try await take()
        do {
            let result = try await body(session)
            await giveBack(session)
            return result
        } catch {
            await session.close()
            throw error
        }
    }

    private func take() async throws -> GateSession {
        uses += 1
        while let session = waiting.popLast() {
            // One may have ended with its warden.
            if session.isOpen { return session }
            await session.close()
        }
        return try await GateSession.open(network)
    }

    private func giveBack(_ session: GateSession) async {
        guard session.isOpen, waiting.count < Self.most else { return await session.close() }
        waiting.append(session)
        let use = uses
        Task {
            try? await Task.sleep(for: Self.idle)
            await letGo(since: use)
        }
    }

    /// Nobody has deployed for a while: its memory is of more use elsewhere.
    private func letGo(since use: Int) async {
        guard uses == use else { return }
        let idle = waiting
        waiting = []
        for session in idle { await session.close() }
    }
}
