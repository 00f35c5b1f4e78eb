import CasemateIdentity
import CasemateModel
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

/// Makes hummingbird's router from the routes: authentication, right, handler, errors, in this order, for every one of them.
struct APIRouter: Sendable {
    let routes: [APIRoute]
    let credentials: CredentialIndex
    let isTLS: Bool
    let logger: Logger

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: ProblemMiddleware(isTLS: isTLS, logger: logger))
        for route in routes {
            router.on(RouterPath(route.path), method: route.method) { request, context in
                let principal = try authenticate(request)
                guard principal.has(route.right) else {
                    // A function token is no credential here, so that it tells its holder nothing about the API.
                    guard case .administrator = principal else { throw Self.refusal }
                    throw Problem(.forbidden, "this needs the right \(route.right.rawValue)")
                }
                var parameters: [String: String] = [:]
                for (name, value) in context.parameters { parameters[String(name)] = String(value) }
                var query: [String: String] = [:]
                for (name, value) in request.uri.queryParameters {
                    guard query.updateValue(String(value), forKey: String(name)) == nil else {
                        throw Problem(.invalidRequest, "query parameter \"\(name.prefix(60))\" stands twice")
                    }
                }
                let answer = try await route.handle(
                    APIRequest(principal: principal, parameters: parameters, query: query, request: request))
                return try Self.response(answer)
            }
        }
        return router
    }

    private static let refusal = Problem(.unauthenticated, "send a valid API key in Authorization: Bearer, or in X-Auth-Token")

    private func authenticate(_ request: Request) throws(Problem) -> Principal {
        var shown = request.headers[values: .xAuthToken]
        for value in request.headers[values: .authorization] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else { throw Self.refusal }
            shown.append(parts[1].trimmingCharacters(in: .whitespaces))
        }
        guard let first = shown.first else { return .anonymous }
        guard shown.allSatisfy({ $0 == first }), let credential = Credential(first),
            let principal = credentials.principal(presenting: credential)
        else { throw Self.refusal }
        return principal
    }

    private static func response(_ answer: APIResponse) throws -> Response {
        switch answer {
        case .noContent: return Response(status: .noContent)
        case .text(let text, let type):
            return Response(status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        case .json(let value, let status):
            return Response(
                status: status, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: try APIJSON.encode(value)))
        }
    }
}

extension HTTPField.Name {
    static let xAuthToken = Self("X-Auth-Token")!
    static let retryAfter = Self("Retry-After")!
}

/// JSON as the API writes it: sorted keys, so that answers can be compared.
enum APIJSON {
    static func encode(_ value: any Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ByteBuffer(bytes: try encoder.encode(value))
    }
}

/// Every error becomes problem details; what is not meant for the caller stays in the server's log.
struct ProblemMiddleware: RouterMiddleware {
    typealias Context = BasicRequestContext

    let isTLS: Bool
    let logger: Logger

    func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
        let id = CallId()
        var response: Response
        do {
            response = try await next(request, context)
        } catch let problem as Problem {
            response = try Self.response(problem, id)
        } catch let error as HTTPError {
            response = try Self.response(Self.problem(error), id)
        } catch {
            logger.error("request failed", metadata: ["request": "\(id)", "error": "\(error)"])
            response = try Self.response(Problem(.internalError, "the server could not go on; its log says why under this id"), id)
        }
        response.headers[.cacheControl] = "no-store"
        response.headers[HTTPField.Name("X-Content-Type-Options")!] = "nosniff"
        if isTLS { response.headers[.strictTransportSecurity] = "max-age=31536000" }
        return response
    }

    private static func problem(_ error: HTTPError) -> Problem {
        switch error.status.code {
        case 404: Problem(.notFound, "there is no such operation")
        case 405: Problem(.methodNotAllowed, "this operation has another method")
        case 413: Problem(.tooLarge, "the body is too large")
        default: Problem(.invalidRequest, "the request can't be understood")
        }
    }

    private struct Details: Encodable {
        var type: String
        var title: String
        var status: Int
        var detail: String
        var instance: String
        var reason: String?
        var diagnostics: [Diagnostic]?
    }

    static func response(_ problem: Problem, _ id: CallId) throws -> Response {
        var headers: HTTPFields = [.contentType: "application/problem+json"]
        if problem.code == .unauthenticated { headers[.wwwAuthenticate] = "Bearer realm=\"casemate\"" }
        if let seconds = problem.retryAfterSeconds { headers[.retryAfter] = "\(seconds)" }
        let details = Details(
            type: problem.code.type, title: problem.code.title, status: problem.code.status, detail: problem.detail,
            instance: "urn:uuid:\(id)",
            reason: problem.reason, diagnostics: problem.diagnostics.isEmpty ? nil : problem.diagnostics)
        return Response(
            status: .init(code: problem.code.status), headers: headers, body: ResponseBody(byteBuffer: try APIJSON.encode(details)))
    }
}
