import CasemateModel
import CasemateSchema
import NIOCore

/// The schemas of one revision, compiled.
struct InputRules: Sendable {
    private let body: InputSchema?
    private let query: InputSchema?
    private let headers: InputSchema?

    /// Nil for texts that are no schemas, which no revision has.
    init?(_ schemas: InputSchemas) {
        func compile(_ file: InputSchemas.File?) throws -> InputSchema? {
            guard let file else { return nil }
            guard let text = file.text else { throw Problem(.internalError, "") }
            return try InputSchema(Array(text.utf8))
        }
        do { (body, query, headers) = (try compile(schemas.body), try compile(schemas.query), try compile(schemas.headers)) } catch {
            return nil
        }
    }

    enum Refusal: Sendable {
        case problem(Problem)
        /// Nothing is known yet.
        case tooLong
    }

    /// What a check may take.
    struct Budget: Sendable {
        /// Of the body.
        var bytes: Int
        var steps: Int

        /// About a millisecond.
        static let atOnce = Budget(bytes: 16_384, steps: 10_000)
        static let whatItTakes = Budget(bytes: .max, steps: .max)
    }

    /// Nil for what is as it should be.
    func refusal(of input: CallInput, within budget: Budget) -> Refusal? {
        do throws(Problem) {
            if let headers {
                let violation = headers.check(parameters: input.headers.map { ($0.name.lowercased(), $0.value) })
                if let violation { throw Self.problem(violation, .headers) }
            }
            if let query {
                guard let parameters = QueryParameters.decoded(input.query) else {
                    throw Problem(.invalidInput, "the query is not form-urlencoded UTF-8", reason: "query", pointer: "")
                }
                if let violation = query.check(parameters: parameters) { throw Self.problem(violation, .query) }
            }
            guard let body else { return nil }
            if input.body.readableBytes > 0 { try MediaType.checkJSON(input.headers) }
            guard input.body.readableBytes <= budget.bytes else { return .tooLong }
            let bytes = Array(input.body.readableBytesView)
            if let violation = body.refusal(ofJSON: bytes, atMost: .max, steps: budget.steps) {
                if violation.isTooCostly, budget.steps < InputSchema.mostSteps { return .tooLong }
                throw Self.problem(violation, .body)
            }
            return nil
        } catch {
            return .problem(error)
        }
    }

    private static func problem(_ violation: Violation, _ part: InputSchemas.Part) -> Problem {
        Problem(.invalidInput, violation.told(of: "the \(part)"), reason: part.rawValue, pointer: violation.pointer)
    }
}
