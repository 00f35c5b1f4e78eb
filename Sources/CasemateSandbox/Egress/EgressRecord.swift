import CasemateModel
import NIOCore
import Synchronization

/// Why a way out was refused. Its text is a metric's label.
public enum EgressRefusal: String, Sendable, CaseIterable {
    /// The name, port or address is not on the list.
    case notAllowed = "not-allowed"
    /// The name leads to an address that no function may reach.
    case privateAddress = "private-address"
    /// The name has no address, or no resolver answered.
    case noAddress = "no-address"
    /// The client asked for another name than the one it dialled.
    case wrongName = "wrong-name"
    /// Port 443 is for TLS that names its server.
    case notTLS = "not-tls"
    /// No connection could be made.
    case unreachable
    /// Too many connections at once, or too many bytes in an hour.
    case quota
    /// It said nothing for too long.
    case tooSlow = "too-slow"
    /// What should have been HTTP was none that can be checked.
    case badRequest = "bad-request"
    /// The host of an injected secret has no certificate that can be verified.
    case badCertificate = "bad-certificate"
    /// The value of a secret would have gone out without TLS.
    case secretInClear = "secret-in-clear"
    /// What that host answered can't be searched for the secret.
    case badResponse = "bad-response"
}

/// What all functions together did, for the metrics.
public final class EgressTotals: Sendable {
    public struct Values: Sendable {
        public var refused: [EgressRefusal: Int] = [:]
        public var connections = 0
        public var open = 0
        public var bytesOut = 0
        public var bytesIn = 0
    }

    private let state = Mutex(Values())

    public init() {}

    public var values: Values { state.withLock { $0 } }

    func change(_ body: (inout Values) -> Void) { state.withLock { body(&$0) } }
}

/// What one function did with its network since the server started: what it used, what it was refused.
///
/// It bounds the function too: connections at once, bytes in an hour. Names that a function makes up must not fill the memory, so only
/// so many targets are told apart.
public final class EgressRecord: Sendable {
    public struct Limits: Sendable {
        public var connections: Int
        public var bytesPerHour: Int

        public init(connections: Int = 256, bytesPerHour: Int = 10 << 30) {
            self.connections = connections
            self.bytesPerHour = bytesPerHour
        }
    }

    public struct Use: Sendable {
        public var connections = 0
        public var bytesOut = 0
        public var bytesIn = 0
        public var last = Timestamp.now
    }

    public struct Refused: Hashable, Sendable {
        public var target: String
        public var reason: EgressRefusal
    }

    private struct State {
        var used: [String: Use] = [:]
        var refused: [Refused: (count: Int, last: Timestamp)] = [:]
        var open = 0
        var hour = NIODeadline.now()
        var bytesInHour = 0
        /// When each was told last, and how many were told in this period.
        var told: [Refused: NIODeadline] = [:]
        var period = NIODeadline.now()
        var toldInPeriod = 0
    }

    private static let mostTargets = 256
    private static let period = TimeAmount.seconds(10)
    private static let mostToldInPeriod = 256

    private let state = Mutex(State())
    private let limits: Limits
    private let totals: EgressTotals

    public init(limits: Limits, totals: EgressTotals) {
        self.limits = limits
        self.totals = totals
    }

    public var used: [String: Use] { state.withLock { $0.used } }
    public var refused: [Refused: (count: Int, last: Timestamp)] { state.withLock { $0.refused } }

    /// Counts a refusal. Whether it is to be told: the same one every ten seconds at most.
    func refuse(_ target: String, _ reason: EgressRefusal) -> Bool {
        totals.change { $0.refused[reason, default: 0] += 1 }
        let key = Refused(target: target, reason: reason)
        return state.withLock { state in
            if state.refused[key] != nil || state.refused.count < Self.mostTargets {
                state.refused[key] = ((state.refused[key]?.count ?? 0) + 1, .now)
            }
            let now = NIODeadline.now()
            if now - state.period >= Self.period {
                state.period = now
                state.toldInPeriod = 0
                state.told = state.told.filter { now - $0.value < Self.period }
            }
            guard state.toldInPeriod < Self.mostToldInPeriod, state.told[key].map({ now - $0 >= Self.period }) ?? true else { return false }
            state.told[key] = now
            state.toldInPeriod += 1
            return true
        }
    }

    /// Takes one of the function's connections; false when it has too many, or has sent and received too much.
    func admit() -> Bool {
        let isAdmitted = state.withLock { state in
            guard state.open < limits.connections, hasBytesLeft(&state) else { return false }
            state.open += 1
            return true
        }
        if isAdmitted { totals.change { $0.open += 1 } }
        return isAdmitted
    }

    /// A connection to the world was made.
    func connected(_ target: String) {
        totals.change { $0.connections += 1 }
        state.withLock { state in
            guard state.used[target] != nil || state.used.count < Self.mostTargets else { return }
            state.used[target, default: Use()].connections += 1
            state.used[target]?.last = .now
        }
    }

    /// Bytes went over a connection. False when these were too many.
    func carried(_ target: String, out: Int, in incoming: Int) -> Bool {
        totals.change {
            $0.bytesOut += out
            $0.bytesIn += incoming
        }
        return state.withLock { state in
            state.used[target]?.bytesOut += out
            state.used[target]?.bytesIn += incoming
            state.bytesInHour += out + incoming
            return hasBytesLeft(&state)
        }
    }

    /// An admitted connection is over.
    func closed() {
        state.withLock { $0.open -= 1 }
        totals.change { $0.open -= 1 }
    }

    private func hasBytesLeft(_ state: inout State) -> Bool {
        let now = NIODeadline.now()
        if now - state.hour >= .hours(1) {
            state.hour = now
            state.bytesInHour = 0
        }
        return state.bytesInHour < limits.bytesPerHour
    }
}
