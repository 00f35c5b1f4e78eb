import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

/// Makes hummingbird's router from the routes: authentication, authorization, handler, errors, in this order, for every one of them.
struct APIRouter: Sendable {
    let routes: [APIRoute]
    let authentication: APIAuthentication
    let sessions: CallSessions
    let records: Records
    let audit: AuditLog
    let trustedProxies: [AddressRange]
    let isTLS: Bool
    let logger: Logger

    func router() -> Router<APIContext> {
        let router = Router(context: APIContext.self)
        router.add(middleware: ProblemMiddleware(isTLS: isTLS, trustedProxies: trustedProxies, logger: logger))
        for route in routes {
            router.on(RouterPath(route.path), method: route.method) { request, context in
                var parameters: [String: String] = [:]
                for (name, value) in context.parameters { parameters[String(name)] = String(value) }
                let source = context.source(of: request, trusting: trustedProxies)
                let link = context.link
                let authenticate: @Sendable () throws -> Principal = {
                    if let link { return try self.session(request, in: link) }
                    return route.need == .client ? .anonymous : try self.authenticate(request, from: source)
                }
                let authorize: @Sendable () async throws -> Void = { [parameters] in
                    let principal = try authenticate()
                    AuditContext.current?.isBy(principal.subject)
                    _ = try await authorization(of: principal, to: route, parameters)
                }
                if route.need != .client, link == nil { await prepare(request, from: source) }
                do { try await authorize() } catch let problem as Problem {
                    await noteRefusal(problem, of: request, to: route, parameters)
                    throw problem
                }
                var query: [String: String] = [:]
                for (name, value) in request.uri.queryParameters {
                    guard query.updateValue(String(value), forKey: String(name)) == nil else {
                        throw Problem(.invalidRequest, "query parameter \"\(name.prefix(60))\" stands twice")
                    }
                }
                let answer = try await route.handle(
                    APIRequest(
                        authenticate: authenticate, source: source, link: link, parameters: parameters, query: query, request: request,
                        stillMay: authorize))
                assert(
                    route.method == .get || answer.isError || AuditContext.current?.recorded != 0,
                    "\(route.method) \(route.path) is not recorded")
                return try Self.response(answer)
            }
        }
        return router
    }

    /// Who shows a wrong credential, or asks for what they may not do, is noted; who shows none is not.
    private func noteRefusal(_ problem: Problem, of request: Request, to route: APIRoute, _ parameters: [String: String]) async {
        let hasCredential = request.headers[.authorization] != nil || request.headers[.xAuthToken] != nil
        let kind: AuditKind
        switch problem.code {
        case .unauthenticated where hasCredential: kind = .authFailed
        case .rateLimited: kind = .authLimited
        case .forbidden, .notFound: kind = .requestRefused
        default: return
        }
        var details = ["operation": "\(route.method) \(route.path)", "problem": problem.code.slug]
        for (name, value) in parameters where ["namespace", "function"].contains(name) { details[name] = value }
        // Whoever keeps a namespace is to see what was tried in it.
        let scope = kind == .requestRefused ? await scope(of: parameters) : .platform
        let event = AuditEvent(kind, scope, outcome: .refused, details)
        audit.note(AuditContext.current?.completing(event) ?? event)
    }

    private func scope(of parameters: [String: String]) async -> AuditEvent.Scope {
        guard let name = parameters["namespace"].flatMap({ NamespaceName($0) }),
            let namespace = try? await records.read({ try $0.namespace(name) })
        else { return .platform }
        guard let label = parameters["function"].flatMap({ FunctionLabel($0) }),
            let function = try? await records.read({ try $0.function(FunctionName(namespace: name, function: label)) })
        else { return namespace.auditScope }
        return function.auditScope
    }

    static let refusal = Problem(.unauthenticated, "send a valid API key in Authorization: Bearer, or in X-Auth-Token")

    private func authenticate(_ request: Request, from source: CallerSource?) throws(Problem) -> Principal {
        var shown = request.headers[values: .xAuthToken]
        for value in request.headers[values: .authorization] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else { throw Self.refusal }
            shown.append(parts[1].trimmingCharacters(in: .whitespaces))
        }
        guard let first = shown.first else { return .anonymous }
        guard shown.allSatisfy({ $0 == first }),
            let principal = try authentication.principal(
                showing: first, mayBeToken: shown.count == 1 && request.headers[.xAuthToken] == nil, from: source)
        else { throw Self.refusal }
        return principal
    }

    /// Out of a sandbox nothing counts but the session of a call that it runs.
    private func session(_ request: Request, in link: PlatformLink) throws(Problem) -> Principal {
        guard request.headers[.xAuthToken] == nil, let value = request.headers[.authorization] else { return .anonymous }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer", let key = Credential(parts[1]),
            let principal = sessions.principal(presenting: key, in: link.sandbox)
        else { throw Self.refusal }
        return principal
    }

    /// Has the keys fetched that a token was signed with, where they are not here.
    private func prepare(_ request: Request, from source: CallerSource?) async {
        guard let value = request.headers[.authorization], let text = value.split(separator: " ", maxSplits: 1).last else { return }
        await authentication.prepare(String(text), from: source)
    }

    /// In parts, as fast as they are taken: a slow reader costs one of them.
    private static func body(of file: Descriptor, length: Int) -> ResponseBody {
        ResponseBody(contentLength: length) { writer in
            defer { file.staysOpen() }
            var left = length
            while left > 0 {
                let part = try Files.readPart(file.raw, most: min(left, 65_536), naming: "an archive")
                guard !part.isEmpty else { throw Problem(.internalError, "the archive ended early") }
                left -= part.count
                try await writer.write(ByteBuffer(bytes: part))
            }
            try await writer.finish(nil)
        }
    }

    private static func response(_ answer: APIResponse) throws -> Response {
        switch answer {
        case .noContent: return Response(status: .noContent)
        case .text(let text, let type):
            return Response(status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        case .bytes(let bytes, let type):
            return Response(status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .file(let file, let length, let type):
            return Response(status: .ok, headers: [.contentType: type], body: Self.body(of: file, length: length))
        case .json(let value, let status, var headers):
            headers[.contentType] = "application/json"
            return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: try APIJSON.encode(value)))
        }
    }
}

extension HTTPField.Name {
    static let xAuthToken = Self("X-Auth-Token")!
    static let retryAfter = Self("Retry-After")!
    static let forwardedFor = Self("X-Forwarded-For")!
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
    typealias Context = APIContext

    let isTLS: Bool
    let trustedProxies: [AddressRange]
    let logger: Logger

    func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
        let id = CallId()
        var response: Response
        do {
            let source = context.source(of: request, trusting: trustedProxies)
            response = try await AuditContext.$current.withValue(AuditContext(request: id.text, source: source?.description)) {
                try await next(request, context)
            }
        } catch let problem as Problem {
            response = try Self.response(problem, id)
        } catch let error as HTTPError {
            response = try Self.response(Self.problem(error), id)
        } catch {
            logger.error("request failed", metadata: ["request": "\(id)", "error": "\(error)"])
            response = try Self.response(Problem(.internalError, "the server could not go on; its log says why under this id"), id)
        }
        response.headers[.cacheControl] = "no-store"
        // As the audit log has it.
        response.headers[HTTPField.Name("Casemate-Request-Id")!] = id.text
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
        var pointer: String?
        var diagnostics: [Diagnostic]?
    }

    static func response(_ problem: Problem, _ id: CallId) throws -> Response {
        var headers: HTTPFields = [.contentType: "application/problem+json"]
        if problem.code == .unauthenticated { headers[.wwwAuthenticate] = "Bearer realm=\"casemate\"" }
        if let seconds = problem.retryAfterSeconds { headers[.retryAfter] = "\(seconds)" }
        let details = Details(
            type: problem.code.type, title: problem.code.title, status: problem.code.status, detail: problem.detail,
            instance: "urn:uuid:\(id)",
            reason: problem.reason, pointer: problem.pointer, diagnostics: problem.diagnostics.isEmpty ? nil : problem.diagnostics)
        return Response(
            status: .init(code: problem.code.status), headers: headers, body: ResponseBody(byteBuffer: try APIJSON.encode(details)))
    }
}
