/// Why a service did not do what was asked. Holds no credential, no value and nothing the service wrote but its error's code.
public enum AWSError: Error, Equatable, CustomStringConvertible {
    /// The service said no, and will again. `code` is AWS's word, such as `AccessDeniedException`, or `HTTP404` when there is none.
    case refused(code: String, status: Int)
    /// Out of reach, failing, throttling, or there are no credentials: later it may work.
    case unavailable(String)
    /// An answer that is none, or a question that can't be asked.
    case malformed(String)

    public var description: String {
        switch self {
        case .refused(let code, let status): "refused: \(code) (\(status))"
        case .unavailable(let why): "unavailable: \(why)"
        case .malformed(let why): "malformed: \(why)"
        }
    }
}
