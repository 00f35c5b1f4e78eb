import Synchronization

/// Asks one service at one endpoint: credentials → circuit → transport → verdict, and again where that can help.
final class AWSClient: Sendable {
    let region: Region
    let endpoint: Endpoint
    private let credentials: CredentialSource
    private let transport: CurlTransport
    private let timeout: Duration
    private let circuit = Mutex(CircuitBreaker())

    /// The first attempt and two more.
    static let mostAttempts = 3

    /// - Parameter timeout: for a whole request, with every attempt and the pauses between, where the request says nothing else.
    init(region: Region, endpoint: Endpoint, credentials: CredentialSource, transport: CurlTransport, timeout: Duration) {
        self.region = region
        self.endpoint = endpoint
        self.credentials = credentials
        self.transport = transport
        self.timeout = timeout
    }

    /// - Returns: an answer with a status of 200 to 299.
    /// - Throws: `AWSError`, or `CancellationError`.
    func send(_ request: SignedRequest) async throws -> Answer {
        let deadline = ContinuousClock.now + (request.timeout ?? timeout)
        var last: AWSError?
        for attempt in 1...Self.mostAttempts {
            // Before the circuit, so that credentials that can't be read are not held against the service.
            let keys = try await current()
            guard let pass = circuit.withLock({ $0.pass(at: .now) }) else {
                throw last ?? .unavailable("\(endpoint) failed several times: not asked for a while")
            }
            let (answer, verdict) = try await ask(request, keys, pass, by: deadline)
            guard let error = verdict.error else {
                guard let answer else { throw AWSError.malformed("\(endpoint): no answer") }
                return answer
            }
            guard attempt < Self.mostAttempts, verdict.again == .always || verdict.again == .ifRepeatable && request.mayBeRepeated,
                try await pause(after: attempt, before: deadline)
            else { throw error }
            last = error
        }
        throw last ?? .unavailable("\(endpoint)")
    }

    private func ask(
        _ request: SignedRequest, _ keys: AWSCredentials, _ pass: CircuitBreaker.Pass, by deadline: ContinuousClock.Instant
    ) async throws -> (Answer?, Verdict) {
        let answer: Answer?
        let verdict: Verdict
        do {
            let got = try await transport.send(request, keys, by: deadline)
            answer = got
            verdict = Verdict(got, from: endpoint)
        } catch let failure as TransportFailure {
            answer = nil
            verdict = Verdict(failure, at: endpoint)
        } catch {
            circuit.withLock { $0.abandoned(pass, at: .now) }
            throw error
        }
        circuit.withLock { circuit in
            if verdict.isFailure { circuit.failed(pass, at: .now) } else { circuit.succeeded(pass) }
        }
        return (answer, verdict)
    }

    private func current() async throws -> AWSCredentials {
        do {
            return try await credentials.current()
        } catch {
            throw AWSError.unavailable("no credentials for \(endpoint): \(error)")
        }
    }

    /// 50 to 100 ms, then twice that; at random, so that many don't come back at once.
    /// - Returns: whether it waited, and time is left to ask again.
    private func pause(after attempt: Int, before deadline: ContinuousClock.Instant) async throws -> Bool {
        let length = Duration.milliseconds(Int.random(in: 50...100) << (attempt - 1))
        guard ContinuousClock.now + length + .milliseconds(50) < deadline else { return false }
        try await Task.sleep(for: length)
        return true
    }
}
