import CasemateModel
import CasemateStore

/// An asynchronous call as whoever may look at it sees it.
package struct CallView: Encodable, Sendable {
    package struct Trouble: Encodable, Sendable {
        /// As in problem details; nil where the function answered itself.
        var type: String?
        var detail: String?
    }

    package var callId: String
    package var function: String
    package var status: CallState
    package var created: String
    /// When its last attempt began.
    package var started: String?
    package var finished: String?
    /// When it may run next, while it waits.
    package var notBefore: String?
    /// Those that have ended.
    package var attempts: Int
    package var maxAttempts: Int
    /// The status of its last attempt's answer.
    package var responseStatus: Int?
    package var problem: Trouble?
    package var revision: Int?
    package var caller: String
    package var schedule: String?
    /// For which the schedule made it.
    package var scheduledTime: String?
    package var redriveOf: String?
    package var redrivenAs: String?

    package init(_ call: QueuedCall, function: FunctionName) {
        callId = call.id.text
        self.function = function.description
        status = call.state
        created = call.created.rfc3339
        started = call.started?.rfc3339
        finished = call.finished?.rfc3339
        notBefore = call.state == .queued && call.attempts > 0 ? call.available.rfc3339 : nil
        attempts = call.attempts
        maxAttempts = call.maxAttempts
        responseStatus = call.status
        if call.problem != nil || call.detail != nil {
            problem = Trouble(type: call.problem.map { "/problems/\($0)" }, detail: call.detail)
        }
        revision = call.revision
        caller = call.subject
        schedule = call.schedule?.text
        scheduledTime = call.instant?.rfc3339
        redriveOf = call.redriveOf?.text
        redrivenAs = call.redrivenAs?.text
    }
}
