import CasemateModel

/// RFC 9457 on the call path, where no JSON coder runs.
package enum ProblemDetails {
    package static func json(_ problem: Problem, instance: CallId) -> String {
        var out = "{\"type\":\(quoted(problem.code.type)),\"title\":\(quoted(problem.code.title)),\"status\":\(problem.code.status)"
        out += ",\"detail\":\(quoted(problem.detail)),\"instance\":\"urn:uuid:\(instance)\",\"callId\":\"\(instance)\""
        if let reason = problem.reason { out += ",\"reason\":\(quoted(reason))" }
        if let pointer = problem.pointer { out += ",\"pointer\":\(quoted(pointer))" }
        return out + "}"
    }

    /// A JSON string (RFC 8259 §7).
    package static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
