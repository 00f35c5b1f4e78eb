import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

/// The key-encryption key: how it is, a new one, and the seal.
extension APIServices {
    var vaultRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/vault", needs: .right(.platformAdmin)) { request in
                try request.allowQuery([])
                return .json(try await vaultView())
            },
            APIRoute(.post, "/v1/vault/rotate", needs: .right(.platformAdmin)) { _ in
                _ = try await rotation.begin()
                return .json(try await vaultView(), status: .accepted)
            },
            APIRoute(.post, "/v1/vault/seal", needs: .right(.platformAdmin)) { _ in
                try await setSealed(true)
                return .json(try await vaultView())
            },
            APIRoute(.post, "/v1/vault/unseal", needs: .right(.platformAdmin)) { _ in
                try await setSealed(false)
                return .json(try await vaultView())
            },
        ]
    }

    /// Sealed at once, and after a restart too.
    private func setSealed(_ isSealed: Bool) async throws {
        do {
            // In memory within the transaction, so that two changes end in the same order in both.
            try await records.write { transaction in
                try transaction.setSealed(isSealed)
                transaction.record(isSealed ? .vaultSealed : .vaultUnsealed, .platform)
                vault.setSealed(isSealed)
            }
        } catch {
            // While that can't be recorded no use of a secret can either, and none is handed out.
            vault.setSealed((try? await records.read { try $0.isSealed() }) ?? true)
            throw error
        }
    }

    private func vaultView() async throws -> VaultView {
        var counts = try await records.read { try $0.countsByKey() }
        var view = VaultView(state: vault.isSealed ? "sealed" : "open", providers: vault.places, keys: [], rotation: nil)
        do {
            let key = try await vault.activeKey()
            view.activeKey = key
            counts[key, default: 0] += 0
            if view.state == "open", let why = vault.fault(of: key) { (view.state, view.problem) = ("unavailable", why) }
        } catch {
            if view.state == "open" { view.state = "unavailable" }
            if case .unavailable(let why) = error { view.problem = why }
        }
        view.keys = counts.map { VaultView.Key(id: $0.key.isEmpty ? "unnamed" : $0.key, functions: $0.value) }.sorted { $0.id < $1.id }
        let progress = await rotation.progress
        if progress.phase != .idle { view.rotation = VaultView.Rotation(progress) }
        return view
    }
}

struct VaultView: Encodable, Sendable {
    struct Key: Encodable, Sendable {
        var id: String
        /// Whose data keys it wraps.
        var functions: Int
    }

    struct Rotation: Encodable, Sendable {
        var phase: String
        var total: Int
        var wrapped: Int
        var key: String?
        var destroyed: Int
        /// Where old keys are left to whoever keeps them.
        var left: [String]
        var problem: String?

        init(_ progress: VaultRotation.Progress) {
            phase = progress.phase.rawValue
            total = progress.total
            wrapped = progress.wrapped
            key = progress.key
            destroyed = progress.destroyed
            left = progress.left
            problem = progress.problem
        }
    }

    /// `open`, `sealed` or `unavailable`.
    var state: String
    var activeKey: String?
    var problem: String?
    /// The first wraps.
    var providers: [String]
    var keys: [Key]
    var rotation: Rotation?
}
