/// What one attempt means: for the caller, for the next attempt, and for the circuit.
struct Verdict {
    enum Again: Equatable { case never, always, ifRepeatable }

    /// Nil when it worked.
    let error: AWSError?
    let again: Again
    /// Whether the service failed, and not merely said no.
    let isFailure: Bool

    private init(_ error: AWSError?, again: Again = .never, isFailure: Bool = false) {
        self.error = error
        self.again = again
        self.isFailure = isFailure
    }

    init(_ answer: Answer, from endpoint: Endpoint) {
        if (200..<300).contains(answer.status) {
            self.init(nil)
            return
        }
        let code = ErrorCode.of(answer)
        let what = code == "HTTP\(answer.status)" ? "\(answer.status)" : "\(answer.status) \(code)"
        let isThrottled = answer.status == 429 || Self.throttling.contains(code)
        switch answer.status {
        case _ where isThrottled:
            self.init(.unavailable("\(endpoint) wants to be asked less: \(what)"), again: .always, isFailure: answer.status >= 500)
        case 503: self.init(.unavailable("\(endpoint) answered \(what)"), again: .always, isFailure: true)
        case 500, 502, 504: self.init(.unavailable("\(endpoint) answered \(what)"), again: .ifRepeatable, isFailure: true)
        // "Not implemented" is an answer, from a server that speaks only part of S3.
        case 501: self.init(.refused(code: code, status: 501))
        case 500...: self.init(.unavailable("\(endpoint) answered \(what)"), isFailure: true)
        default: self.init(.refused(code: code, status: answer.status))
        }
    }

    init(_ failure: TransportFailure, at endpoint: Endpoint) {
        switch failure {
        case .notReached: self.init(.unavailable("\(endpoint): \(failure)"), again: .always, isFailure: true)
        case .broken: self.init(.unavailable("\(endpoint): \(failure)"), again: .ifRepeatable, isFailure: true)
        case .timedOut, .untrusted: self.init(.unavailable("\(endpoint): \(failure)"), isFailure: true)
        // This machine's fault, not the service's.
        case .overloaded: self.init(.unavailable("\(endpoint): \(failure)"))
        case .tooLarge: self.init(.malformed("\(endpoint): \(failure)"))
        case .notHTTP: self.init(.malformed("\(endpoint): \(failure)"), isFailure: true)
        }
    }

    /// Source: AWS SDKs and Tools reference, "Retry behavior", and S3's error codes.
    private static let throttling: Set = [
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "SlowDown",
        "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded",
    ]
}
