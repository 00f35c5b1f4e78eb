import CasemateModel
import CasemateSandbox

/// Hands out sandboxes with the gate's tools. They are used again, for the same namespace alone: loading the tools takes longer than most
/// checks. Each request is served in a process of its own there; were one overcome by what it searches and stayed, it would see no other
/// tenant's bundle or secrets.
public actor GateSandboxes {
    private let network: EgressNetwork
    /// The one that was used last comes last.
    private var waiting: [(namespace: NamespaceId, session: GateSession)] = []
    private var uses = 0
    private static let most = 2
    private static let idle = Duration.seconds(600)

    public init(network: EgressNetwork) { self.network = network }

    /// The sandbox ends with whatever `body` throws.
    /// - Parameter namespace: whose data `body` shows it; nil where no other request may follow.
    nonisolated func withSession<R: Sendable>(
        for namespace: NamespaceId?, _ body: @Sendable (GateSession) async throws -> R
    ) async throws -> R {
        let session = try await take(for: namespace)
        do {
            let result = try await body(session)
            await giveBack(session, of: namespace)
            return result
        } catch {
            await session.close()
            throw error
        }
    }

    private func take(for namespace: NamespaceId?) async throws -> GateSession {
        uses += 1
        while let index = waiting.lastIndex(where: { $0.namespace == namespace }) {
            let session = waiting.remove(at: index).session
            // One may have ended with its warden.
            if session.isOpen { return session }
            await session.close()
        }
        return try await GateSession.open(network)
    }

    private func giveBack(_ session: GateSession, of namespace: NamespaceId?) async {
        guard let namespace, session.isOpen else { return await session.close() }
        waiting.append((namespace, session))
        let use = uses
        Task {
            try? await Task.sleep(for: Self.idle)
            await letGo(since: use)
        }
        if waiting.count > Self.most { await waiting.removeFirst().session.close() }
    }

    /// Nobody has deployed for a while: its memory is of more use elsewhere.
    private func letGo(since use: Int) async {
        guard uses == use else { return }
        let idle = waiting
        waiting = []
        for (_, session) in idle { await session.close() }
    }
}
