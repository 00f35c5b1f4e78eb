import CasemateModel
import CasemateStore

/// What follows from how an attempt ended.
enum AttemptVerdict: Equatable {
    case end(CallState)
    /// - Parameters:
    ///   - delayInMilliseconds: until it is tried again.
    ///   - counts: false where the function did not get to run: that is not its fault, and uses up no attempt.
    case again(delayInMilliseconds: Int64, counts: Bool)

    /// What the platform could not do, and may soon.
    private static let notBegun: Set<Problem.Code> = [
        .noCapacity, .unavailable, .vaultSealed, .kekUnavailable, .secretUnavailable, .secretMissing, .auditUnavailable, .functionDisabled,
        .untrustedVersion, .tampered, .rateLimited,
    ]

    /// - Parameters:
    ///   - status: of the answer, the platform's own among them.
    ///   - problem: nil where the function answered itself.
    ///   - call: as it was claimed.
    init(status: Int, problem: Problem?, of call: QueuedCall, _ rules: AsyncRules, using random: inout some RandomNumberGenerator) {
        if let problem, Self.notBegun.contains(problem.code) {
            let patient = AsyncRules(backoffInMilliseconds: 500, maxBackoffInMilliseconds: 30_000)
            self = .again(
                delayInMilliseconds: patient.delayInMilliseconds(afterAttempts: Int(call.fence) - call.attempts, using: &random),
                counts: false)
        } else if problem == nil, status < 400 {
            self = .end(.succeeded)
        } else if status != 429, status < 500 {
            self = .end(.failed)
        } else if call.attempts + 1 < call.maxAttempts {
            self = .again(delayInMilliseconds: rules.delayInMilliseconds(afterAttempts: call.attempts + 1, using: &random), counts: true)
        } else if call.maxAttempts > 1 {
            self = .end(.dead)
        } else {
            self = .end(problem?.code == .functionTimeout ? .timedOut : .failed)
        }
    }
}
