import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateModel
import HTTPTypes
import Hummingbird
import NIOCore

/// One operation of the management API: what it answers to, which right it needs, what it does.
///
/// The router, the matrix of who may do what and the test of the OpenAPI document are all made from the list of these.
struct APIRoute: Sendable {
    let method: HTTPRequest.Method
    /// With parameters in braces: `/v1/namespaces/{namespace}`.
    let path: String
    let need: Need
    let handle: @Sendable (APIRequest) async throws -> APIResponse

    init(
        _ method: HTTPRequest.Method, _ path: String, needs need: Need,
        _ handle: @Sendable @escaping (APIRequest) async throws -> APIResponse
    ) {
        self.method = method
        self.path = path
        self.need = need
        self.handle = handle
    }

    /// Who may use an operation. There is no default: an operation that does not say it does not compile.
    enum Need: Sendable, Equatable, CustomStringConvertible {
        /// Anyone, without a credential.
        case anyone
        /// An OAuth client, whose credential is of another kind and stands elsewhere: the operation itself looks at it.
        case client
        /// Whoever has a credential for the API: what they get depends on it.
        case credential
        /// Whoever has the right on what the path names; on the server as a whole where it names nothing.
        case right(Right)
        /// Whoever has the right on that, or on some part of it; the operation itself looks at which.
        case within(Right)

        var description: String {
            switch self {
            case .anyone: "anyone"
            case .client: "client"
            case .credential: "credential"
            case .right(let right): right.rawValue
            case .within(let right): "\(right.rawValue) on a part"
            }
        }
    }
}

/// A request whose caller may use the route.
struct APIRequest: Sendable {
    /// Looks its credential up again.
    let authenticate: @Sendable () throws -> Principal
    /// Where it comes from.
    let source: CallerSource?
    /// Where it comes out of a function's sandbox.
    let link: PlatformLink?
    let parameters: [String: String]
    let query: [String: String]
    let request: Request
    /// Throws what the request would be refused with if it came now: for answers that take long.
    let stillMay: @Sendable () async throws -> Void

    /// For what a body names, where the route could look at the path alone.
    /// - Throws: `.forbidden` naming the right.
    func require(_ right: Right, on resource: Resource, for what: String) throws(Problem) {
        guard principal.rights.has(right, on: resource) else {
            throw Problem(.forbidden, "\(what) takes the right \(right.rawValue)")
        }
    }

    /// Who asks, with what that may do now: a body may take minutes to arrive, a deployment to be built. Anonymous, without any right, once
    /// the credential has gone.
    var principal: Principal { (try? authenticate()) ?? .anonymous }

    func parameter(_ name: String) -> String { parameters[name] ?? "" }

    func namespace() throws(Problem) -> NamespaceName {
        guard let name = NamespaceName(parameter("namespace")) else { throw Problem(.invalidName, NamespaceName.rule) }
        return name
    }

    func functionName() throws(Problem) -> FunctionName {
        guard let label = FunctionLabel(parameter("function")) else { throw Problem(.invalidName, FunctionLabel.rule) }
        return FunctionName(namespace: try namespace(), function: label)
    }

    /// The whole body; at most `limit` bytes. What the caller may not do any more when it is here is refused.
    func body(limit: Int) async throws -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = Array(try await request.body.collect(upTo: limit).readableBytesView)
        } catch is NIOTooManyBytesError {
            throw Problem(.tooLarge, "the body is at most \(limit) bytes")
        }
        try await stillMay()
        return bytes
    }

    /// A JSON body, every field known.
    func json<T: StrictDecodable>(_: T.Type = T.self, limit: Int = 1 << 20) async throws -> T {
        try StrictJSON.decode(try await body(limit: limit))
    }

    /// Refuses query parameters that the route does not know.
    func allowQuery(_ names: Set<String>) throws(Problem) {
        if let unknown = query.keys.filter({ !names.contains($0) }).min() {
            throw Problem(
                .invalidRequest, "unknown query parameter \"\(unknown.prefix(60))\"; known: \(names.sorted().joined(separator: ", "))")
        }
    }

    func number(_ name: String, default fallback: Int, in range: ClosedRange<Int>) throws(Problem) -> Int {
        guard let text = query[name] else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            throw Problem(.invalidRequest, "\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

/// What an operation answers.
enum APIResponse: Sendable {
    case json(any Encodable & Sendable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:])
    /// The rest of an open file.
    case file(Descriptor, length: Int, contentType: String)
    case text(String, contentType: String)
    /// As they are, text or not.
    case bytes([UInt8], contentType: String)
    case noContent

    /// An error of a protocol with words of its own for them.
    var isError: Bool {
        if case .json(_, let status, _) = self { status.code >= 400 } else { false }
    }
}
