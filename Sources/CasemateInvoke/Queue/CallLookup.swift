import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import Foundation

/// Answers who asks what became of an asynchronous call: whoever made it, with the credential that they made it with, and whoever may read
/// the function's logs. To everybody else there is no such call.
package struct CallLookup: Sendable {
    let queue: CallQueue
    let keys: CallKeys
    let catalog: Catalog

    package init(queue: CallQueue, keys: CallKeys, catalog: Catalog) {
        self.queue = queue
        self.keys = keys
        self.catalog = catalog
    }

    package static let unknown = Problem(.notFound, "there is no such call")

    /// The longest that somebody may wait for a call's end.
    package static let longestWaitInSeconds = 60

    /// - Parameter wait: seconds in which it may still end.
    /// - Throws: `.notFound`.
    func status(_ id: CallId, for asker: Asker, wait: Int) async throws -> CallView {
        let call = try await ended(id, wait) { mayLook(at: $0, asker) }
        return CallView(call, function: try function(of: call).name)
    }

    /// What it answered.
    /// - Throws: `.notFound`; `.conflict` while it has not ended, or where nothing is kept.
    func result(_ id: CallId, for asker: Asker, wait: Int) async throws -> (call: QueuedCall, result: QueuedResult) {
        let call = try await ended(id, wait) { mayLook(at: $0, asker) }
        return (call, try await result(of: call))
    }

    package func result(of call: QueuedCall) async throws -> QueuedResult {
        guard call.state.isFinal else {
            throw Problem(.conflict, "the call is \(call.state.rawValue): it has no result yet", retryAfterSeconds: 1)
        }
        guard let sealed = try await queue.result(call.id)?.sealed else {
            throw Problem(.notFound, "the call is \(call.state.rawValue), and no answer of it is kept")
        }
        let function = try function(of: call)
        let key: CallKey
        do throws(VaultError) { key = try await keys.key(function.id, function.wrappedDataKey) } catch { throw error.problem }
        guard let plain = try? key.open(sealed, .result, of: QueuedResult.place(of: call)), let result = QueuedResult(encoded: plain) else {
            throw Problem(.tampered, "the result that is stored is not what the call answered")
        }
        return result
    }

    /// The call, once it has ended or the time is over.
    package func ended(_ id: CallId, _ seconds: Int, _ mayLook: @Sendable (QueuedCall) -> Bool) async throws -> QueuedCall {
        let end = ContinuousClock.now + .seconds(seconds)
        var pause = Duration.milliseconds(5)
        while true {
            guard let call = try await queue.call(id), mayLook(call) else { throw Self.unknown }
            if call.state.isFinal || ContinuousClock.now >= end { return call }
            try await Task.sleep(for: pause)
            pause = min(pause * 3 / 2, .milliseconds(250))
        }
    }

    /// Who asks, and what they showed opens.
    struct Asker: Sendable {
        let principal: Principal
        /// Nil for a credential that opens all that its holder may.
        let opens: (@Sendable (Deployed) -> Bool)?
    }

    private func mayLook(at call: QueuedCall, _ asker: Asker) -> Bool {
        guard let function = catalog.function(call.functionId) else { return false }
        let principal = asker.principal
        if let opens = asker.opens { return opens(function) && call.owner == principal.owner }
        // Who showed nothing is nobody: the id is all that they have.
        return call.owner == Principal.anonymous.owner || call.owner == principal.owner
            || principal.rights.has(.logsRead, on: function.resource)
    }

    private func function(of call: QueuedCall) throws -> Deployed {
        guard let function = catalog.function(call.functionId) else { throw Self.unknown }
        return function
    }
}
