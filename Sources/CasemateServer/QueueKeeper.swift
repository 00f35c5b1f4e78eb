import CasemateInvoke
import CasemateModel
import CasemateStore
import Logging

/// Looks after the queue: takes back what a server that ended had begun, keeps this one's claims, heeds a clock that was set, and removes
/// what has been kept long enough.
struct QueueKeeper: Sendable {
    let queue: CallQueue
    let lock: WorkerLock
    let gateway: Gateway
    let deadLetters: DeadLetters
    let records: Records
    let policies: NamespacePolicies
    let catalog: Catalog
    let logger: Logger

    private static let step = Duration.seconds(5)

    /// Before anything is claimed here.
    func begin() async throws {
        let taken = try await queue.takeBack(at: .now) { lock.isGone($0) }
        lock.sweep()
        if !taken.isEmpty {
            logger.notice("calls that ran when a server ended are taken up again", metadata: ["calls": "\(taken.count)"])
        }
        deadLetters.onArrival { gateway.queueHas($0) }
        queue.onClockSet { [logger, gateway] jump in
            logger.warning("the clock was set", metadata: ["milliseconds": "\(jump)"])
            gateway.clockWasSet()
        }
        gateway.startWorkers()
        deadLetters.thereAreSome()
    }

    /// Until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.step)
            guard !Task.isCancelled else { return }
            do {
                try await queue.renewLeases(at: .now)
                for call in try await queue.takeBack(at: .now, isGone: { lock.isGone($0) }) { gateway.queueHas(call.functionId) }
                gateway.queueEnded(try await queue.expire(at: .now))
                deadLetters.thereAreSome()
            } catch {
                logger.error("the queue can't be looked after", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Removes what has ended long enough ago, and what is left of functions that are gone.
    func expire() async {
        do {
            for namespace in try await records.read({ try $0.namespaces() }) {
                let hours = policies.policy(of: namespace.id).queue.retentionInHours
                let limit = Timestamp.now.advanced(byMilliseconds: -Int64(hours) * 3_600_000)
                while try await queue.removeEnded(before: limit, in: namespace.id) == 500 {}
            }
            try await queue.removeFires(exceptOf: Set(try await records.read { try $0.schedules() }.map(\.id)))
            try await queue.pruneFires()
            for function in try await queue.functions() where catalog.function(function) == nil {
                guard try await records.read({ try $0.function(function) }) == nil else { continue }
                try await queue.removeAll(of: function)
            }
        } catch {
            logger.error("old calls could not be removed", metadata: ["error": "\(error)"])
        }
    }
}
