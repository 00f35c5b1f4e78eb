/// What an operation answers when it can't do what was asked, in a form for its caller: RFC 9457 problem details.
///
/// It never holds a secret, a path or anything else of the server's inside. Two problems are equal when their codes are.
public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
    public let code: Code
    /// One sentence on this occurrence, with what to do.
    public let detail: String
    /// Why, where a code has several reasons (`out-of-memory`).
    public let reason: String?
    /// The place in what was sent (RFC 6901), where the problem has one.
    public let pointer: String?
    /// Seconds after which trying again makes sense.
    public let retryAfterSeconds: Int?
    /// All faults of a person's document, when there is one.
    public let diagnostics: [Diagnostic]

    public init(
        _ code: Code, _ detail: String, reason: String? = nil, pointer: String? = nil, retryAfterSeconds: Int? = nil,
        diagnostics: [Diagnostic] = []
    ) {
        self.code = code
        self.detail = detail
        self.reason = reason
        self.pointer = pointer
        self.retryAfterSeconds = retryAfterSeconds
        self.diagnostics = diagnostics
    }

    public static func == (left: Problem, right: Problem) -> Bool { left.code == right.code }

    public var description: String { "\(code.title): \(detail)" }
}

extension Problem {
    /// The kinds of problem: a stable `type`, a title, a status. docs/problems has a page with this table.
    public struct Code: Hashable, Sendable {
        public let slug: String
        public let title: String
        public let status: Int

        init(_ slug: String, _ title: String, _ status: Int) {
            self.slug = slug
            self.title = title
            self.status = status
        }

        /// The `type` member: a relative reference that never changes.
        public var type: String { "/problems/\(slug)" }
    }
}

extension Problem.Code {
    public static let unauthenticated = Self("unauthenticated", "Not authenticated", 401)
    public static let forbidden = Self("forbidden", "Not allowed", 403)
    /// A token that was not made out for this function; `reason` is the scope that it lacks (RFC 6750 §3.1).
    public static let insufficientScope = Self("insufficient-scope", "The token is not for this function", 403)
    public static let notFound = Self("not-found", "Not found", 404)
    /// Somebody who can be asked has not been; the status is RFC 6585's for what must be done first.
    public static let consentRequired = Self("consent-required", "Your consent is needed", 428)
    public static let methodNotAllowed = Self("method-not-allowed", "Method not allowed", 405)
    public static let untrustedSignature = Self("untrusted-signature", "The deployment has no signature that counts", 403)
    public static let untrustedVersion = Self("untrusted-version", "The revision is not trusted", 403)
    public static let approvalRequired = Self("approval-required", "Somebody else has to approve it first", 403)
    public static let selfApproval = Self("self-approval", "Nobody approves what is their own", 403)
    public static let promotionRequired = Self("promotion-required", "The namespace takes only what is promoted to it", 403)
    public static let conflict = Self("conflict", "Conflict", 409)
    public static let queueFull = Self("queue-full", "The queue is full", 429)
    /// draft-ietf-httpapi-idempotency-key-header, §2.7.
    public static let keyReused = Self("idempotency-key-reused", "The idempotency key belongs to another request", 422)
    public static let callCancelled = Self("call-cancelled", "The call was cancelled", 409)
    public static let invalidSchedule = Self("invalid-schedule", "Invalid schedule", 422)
    public static let invalidName = Self("invalid-name", "Invalid name", 422)
    public static let invalidRequest = Self("invalid-request", "Invalid request", 400)
    /// What a call brings is not what the function takes; `reason` is the part: `body`, `query` or `headers`.
    public static let invalidInput = Self("invalid-input", "The function does not take this input", 400)
    public static let unsupportedMediaType = Self("unsupported-media-type", "Unsupported media type", 415)
    public static let invalidManifest = Self("invalid-manifest", "Invalid manifest", 422)
    public static let notAvailable = Self("not-available-yet", "Not available yet", 422)
    public static let archiveRefused = Self("archive-refused", "Archive refused", 422)
    public static let fetchFailed = Self("fetch-failed", "The source could not be fetched", 422)
    public static let buildFailed = Self("build-failed", "Build failed", 422)
    public static let gateFailed = Self("gate-failed", "The gate refused the bundle", 422)
    public static let handlerFailed = Self("handler-refused", "The handler can't be used", 422)
    public static let tooLarge = Self("too-large", "Too large", 413)
    public static let uriTooLong = Self("uri-too-long", "URI too long", 414)
    public static let headersTooLarge = Self("headers-too-large", "Header fields too large", 431)
    public static let rateLimited = Self("rate-limited", "Too many requests", 429)
    public static let requestTimeout = Self("request-timeout", "The request took too long to arrive", 408)
    public static let functionRaised = Self("function-error", "The function failed", 500)
    public static let badResult = Self("function-result", "The function's result is not a response", 502)
    public static let functionCrashed = Self("function-crashed", "The function's sandbox ended", 502)
    public static let functionTimeout = Self("function-timeout", "The function took too long", 504)
    public static let responseTooLarge = Self("response-too-large", "The function's response is too large", 502)
    public static let secretInResponse = Self("secret-in-response", "The response holds a secret", 502)
    public static let secretMissing = Self("secret-missing", "A secret has no value", 503)
    public static let importFailed = Self("function-import", "The function can't be loaded", 502)
    public static let tampered = Self("bundle-changed", "The bundle is not what was signed", 503)
    public static let weakSecret = Self("weak-secret", "The secret is too weak", 422)
    public static let vaultSealed = Self("vault-sealed", "The vault is sealed", 503)
    public static let kekUnavailable = Self("kek-unavailable", "The key-encryption key can't be had", 503)
    public static let secretUnavailable = Self("secret-unavailable", "A secret can't be had", 503)
    public static let auditUnavailable = Self("audit-unavailable", "The audit log can't be written", 503)
    public static let functionDisabled = Self("function-disabled", "The function is disabled", 503)
    public static let noCapacity = Self("no-capacity", "No capacity", 503)
    public static let unavailable = Self("unavailable", "Unavailable", 503)
    public static let loopDetected = Self("loop-detected", "Too many calls behind each other", 508)
    public static let internalError = Self("internal-error", "Internal error", 500)

    /// Every code, for docs and tests.
    public static let all: [Problem.Code] = [
        unauthenticated, forbidden, insufficientScope, consentRequired, untrustedSignature, untrustedVersion, approvalRequired,
        selfApproval,
        promotionRequired, notFound, methodNotAllowed, conflict, queueFull, keyReused, callCancelled,
        invalidSchedule, invalidName, invalidRequest, invalidInput, unsupportedMediaType,
        invalidManifest,
        notAvailable,
        archiveRefused, fetchFailed, buildFailed, gateFailed, handlerFailed, tooLarge, uriTooLong, headersTooLarge, rateLimited,
        requestTimeout,
        functionRaised, badResult, functionCrashed, functionTimeout, responseTooLarge, secretInResponse, secretMissing, importFailed,
        tampered, weakSecret, vaultSealed, kekUnavailable, secretUnavailable, auditUnavailable, functionDisabled, noCapacity, unavailable,
        loopDetected,
        internalError,
    ]
}
