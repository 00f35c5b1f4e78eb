import CasemateModel
import GRDB

/// An asynchronous call as it is stored, without its request and its result.
public struct QueuedCall: Sendable, Equatable {
    public let id: CallId
    public let functionId: FunctionId
    public let namespaceId: NamespaceId
    public let state: CallState
    public let created: Timestamp
    /// Not before.
    public let available: Timestamp
    public let expires: Timestamp
    /// Those that have ended.
    public let attempts: Int
    public let maxAttempts: Int
    /// Grows with each claim: what an earlier one still has to say does not count.
    public let fence: Int64
    /// Whoever may look at it without a right: the identity of who made it.
    public let owner: String
    /// The same for people.
    public let subject: String
    public let requestBytes: Int
    public let schedule: ScheduleId?
    /// For which the schedule made it.
    public let instant: Timestamp?
    public let redriveOf: CallId?
    public let redrivenAs: CallId?
    /// When its last attempt began.
    public let started: Timestamp?
    public let finished: Timestamp?
    /// Of its last attempt's answer.
    public let status: Int?
    /// The slug of what went wrong with its last attempt.
    public let problem: String?
    public let detail: String?
    /// The number of the revision that ran its last attempt.
    public let revision: Int?
    /// Where it stands among all; for cursors.
    public let sequence: Int64
}

extension QueuedCall {
    static let columns = """
        seq, id, function_id, namespace_id, state, created, available, expires, attempts, max_attempts, fence, owner, subject,
        request_bytes, schedule_id, instant, redrive_of, redriven_as, started, finished, status, problem, detail, revision
        """

    init(row: Row) throws {
        guard let id = CallId(row["id"] as String), let function = FunctionId(row["function_id"] as String),
            let namespace = NamespaceId(row["namespace_id"] as String), let state = CallState(rawValue: row["state"])
        else { throw RecordsError.damaged }
        func time(_ column: String) -> Timestamp? { (row[column] as Int64?).map(Timestamp.init(milliseconds:)) }
        func call(_ column: String) -> CallId? { (row[column] as String?).flatMap { CallId($0) } }
        self.init(
            id: id, functionId: function, namespaceId: namespace, state: state, created: Timestamp(milliseconds: row["created"]),
            available: Timestamp(milliseconds: row["available"]), expires: Timestamp(milliseconds: row["expires"]),
            attempts: row["attempts"], maxAttempts: row["max_attempts"], fence: row["fence"], owner: row["owner"], subject: row["subject"],
            requestBytes: row["request_bytes"], schedule: (row["schedule_id"] as String?).flatMap { ScheduleId($0) },
            instant: time("instant"), redriveOf: call("redrive_of"), redrivenAs: call("redriven_as"), started: time("started"),
            finished: time("finished"), status: row["status"], problem: row["problem"], detail: row["detail"], revision: row["revision"],
            sequence: row["seq"])
    }
}

extension QueuedCall {
    /// An owner that nobody is.
    public static let nobody = "nobody"
}

/// A call that is to be accepted.
public struct NewCall: Sendable {
    public var id: CallId
    public var functionId: FunctionId
    public var namespaceId: NamespaceId
    public var owner: String
    public var subject: String
    /// With who asks, under the function's data key.
    public var request: [UInt8]
    public var created: Timestamp
    /// Not before.
    public var available: Timestamp
    public var rules: AsyncRules
    public var limits: QueueLimits
    /// What must run in order, under a key of the function's; nil for what need not.
    public var orderKey: [UInt8]?
    public var idempotency: Idempotency?
    public var schedule: (id: ScheduleId, instant: Timestamp)?
    public var redriveOf: CallId?

    /// What tells that a request came before.
    public struct Idempotency: Sendable {
        /// Function, owner and the key that they gave, as one hash.
        public var scope: [UInt8]
        /// The request's own.
        public var request: [UInt8]

        public init(scope: [UInt8], request: [UInt8]) {
            self.scope = scope
            self.request = request
        }
    }

    public init(
        id: CallId, functionId: FunctionId, namespaceId: NamespaceId, owner: String, subject: String, request: [UInt8], created: Timestamp,
        available: Timestamp? = nil, rules: AsyncRules, limits: QueueLimits, orderKey: [UInt8]? = nil,
        idempotency: Idempotency? = nil, schedule: (id: ScheduleId, instant: Timestamp)? = nil, redriveOf: CallId? = nil
    ) {
        self.id = id
        self.functionId = functionId
        self.namespaceId = namespaceId
        self.owner = owner
        self.subject = subject
        self.request = request
        self.created = created
        self.available = available ?? created
        self.rules = rules
        self.limits = limits
        self.orderKey = orderKey
        self.idempotency = idempotency
        self.schedule = schedule
        self.redriveOf = redriveOf
    }
}

/// A call that a worker has, and nobody else while its lease lasts.
public struct ClaimedCall: Sendable {
    public let call: QueuedCall
    /// As it was sealed; empty where it is gone.
    public let request: [UInt8]
}

/// How an attempt ended.
public struct AttemptOutcome: Sendable {
    public var status: Int?
    public var problem: String?
    public var detail: String?
    public var revision: Int?

    public init(status: Int? = nil, problem: String? = nil, detail: String? = nil, revision: Int? = nil) {
        self.status = status
        self.problem = problem
        self.detail = detail
        self.revision = revision
    }
}
