import NIOCore

/// When a call passed which stage. Always taken, for the metrics; told to a caller that asks (`Casemate-Timing: 1`) as `Server-Timing`
/// (W3C Server Timing).
struct CallTimes {
    let received: NIODeadline
    /// It may be called: before a body was read.
    var authorized: NIODeadline
    /// The body is here.
    var complete: NIODeadline
    var begun: NIODeadline?
    var replied: NIODeadline?
    /// The cold start that this call waited for.
    var start: StartTimes?

    init(received: NIODeadline, authorized: NIODeadline) {
        self.received = received
        self.authorized = authorized
        complete = .now()
    }

    var queue: TimeAmount { (begun ?? complete) - complete }

    /// Phases in milliseconds; they add up to the time from the request's head to its answer.
    func serverTiming(until end: NIODeadline) -> String {
        var phases: [(String, TimeAmount)] = [("auth", authorized - received), ("body", complete - authorized)]
        if let start {
            phases.append(("queue", max(.zero, start.asked - complete)))
            phases += start.phases
            if let begun { phases.append(("handover", max(.zero, begun - start.loaded))) }
        } else {
            phases.append(("queue", queue))
        }
        if let begun { phases.append(("handler", (replied ?? end) - begun)) }
        if let replied { phases.append(("redact", end - replied)) }
        return phases.map { "\($0.0);dur=\(Self.milliseconds($0.1))" }.joined(separator: ", ")
    }

    private static func milliseconds(_ amount: TimeAmount) -> String {
        let micros = max(0, amount.nanoseconds) / 1000
        let rest = "\(micros % 1000)"
        return "\(micros / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}

/// When one cold start passed which phase.
struct StartTimes {
    /// A sandbox was asked of the pool.
    let asked: NIODeadline
    var slot: NIODeadline
    var mounted: NIODeadline
    /// Entry, environment and secrets were sent.
    var sent: NIODeadline
    var loaded: NIODeadline

    init(asked: NIODeadline) {
        self.asked = asked
        slot = asked
        mounted = asked
        sent = asked
        loaded = asked
    }

    var phases: [(String, TimeAmount)] {
        [("slot", slot - asked), ("mount", mounted - slot), ("secrets", sent - mounted), ("import", loaded - sent)]
    }
}
