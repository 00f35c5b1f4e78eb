import CasemateModel
import Foundation

/// Ends a command with a message for a person and an exit code for a script.
struct CommandFailure: Error {
    var message: String
    var code: Int32 = 1
    /// The server may have done what it was asked: no answer came.
    var isUncertain = false

    /// What the server answered: refusals before anything ran are 2, the rest 1.
    init(_ problem: Problem) {
        var text = "\(problem.code.title): \(problem.detail)"
        for diagnostic in problem.diagnostics { text += "\n  \(diagnostic)" }
        message = text
        code = [400, 401, 403, 404, 409, 422, 428, 429].contains(problem.code.status) ? 2 : 1
    }

    init(_ message: String, code: Int32 = 1) {
        self.message = message
        self.code = code
    }

    /// Without an answer.
    static func uncertain(_ message: String) -> CommandFailure {
        var failure = CommandFailure(message, code: 2)
        failure.isUncertain = true
        return failure
    }

    func exit() -> Never {
        // It may quote what a server or a stranger's file says.
        let lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { Terminal.visible(String($0)) }
        if !message.isEmpty { Terminal.error("casemate: \(lines.joined(separator: "\n"))") }
        Foundation.exit(code)
    }
}
