/// Why there is no answer. Its texts are ours, never the server's.
enum TransportFailure: Error, Equatable {
    /// Nothing was sent: no such name, no connection, no TLS.
    case notReached(String)
    /// The server's certificate, or what we check it with. Trying again won't help.
    case untrusted(String)
    case timedOut
    /// The connection ended in the middle: the request may have been carried out.
    case broken(String)
    /// In bytes.
    case tooLarge(limit: Int)
    /// It answers, but doesn't speak HTTP.
    case notHTTP
    /// Too many wait, or this machine can't.
    case overloaded(String)

    static let notKept = TransportFailure.overloaded("what came could not be kept")
    static let waitedInVain = TransportFailure.overloaded("every thread was busy until the deadline")
}

extension TransportFailure: CustomStringConvertible {
    var description: String {
        switch self {
        case .notReached(let why), .untrusted(let why), .broken(let why), .overloaded(let why): why
        case .timedOut: "no answer in time"
        case .tooLarge(let limit): "the answer is larger than \(limit) bytes"
        case .notHTTP: "the answer is not HTTP"
        }
    }
}
