import CasemateIdentity
import CasemateModel
import HTTPTypes
import Hummingbird
import NIOCore

/// One operation of the management API: what it answers to, which right it needs, what it does.
///
/// The router and the test of the OpenAPI document are both made from the list of these.
struct APIRoute: Sendable {
    let method: HTTPRequest.Method
    /// With parameters in braces: `/v1/namespaces/{namespace}`.
    let path: String
    let right: Right
    let handle: @Sendable (APIRequest) async throws -> APIResponse

    init(
        _ method: HTTPRequest.Method, _ path: String, needs right: Right,
        _ handle: @Sendable @escaping (APIRequest) async throws -> APIResponse
    ) {
        self.method = method
        self.path = path
        self.right = right
        self.handle = handle
    }
}

/// A request whose caller has the route's right.
struct APIRequest: Sendable {
    let principal: Principal
    let parameters: [String: String]
    let query: [String: String]
    let request: Request

    func parameter(_ name: String) -> String { parameters[name] ?? "" }

    func namespace() throws(Problem) -> NamespaceName {
        guard let name = NamespaceName(parameter("namespace")) else { throw Problem(.invalidName, NamespaceName.rule) }
        return name
    }

    func functionName() throws(Problem) -> FunctionName {
        guard let label = FunctionLabel(parameter("function")) else { throw Problem(.invalidName, FunctionLabel.rule) }
        return FunctionName(namespace: try namespace(), function: label)
    }

    /// The whole body; at most `limit` bytes.
    func body(limit: Int) async throws -> [UInt8] {
        do {
            return Array(try await request.body.collect(upTo: limit).readableBytesView)
        } catch is NIOTooManyBytesError {
            throw Problem(.tooLarge, "the body is at most \(limit) bytes")
        }
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
    case json(any Encodable & Sendable, status: HTTPResponse.Status = .ok)
    case text(String, contentType: String)
    case noContent
}
