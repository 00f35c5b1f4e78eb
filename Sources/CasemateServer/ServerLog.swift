import CasemateInvoke
import CasemateModel
import Glibc
import Logging

/// The server's own log: one JSON object per line on standard error. Never a secret, a body or a user's text.
struct JSONLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    let label: String

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = "{\"time\":\"\(Timestamp.now.rfc3339)\",\"level\":\"\(event.level)\",\"logger\":\(ProblemDetails.quoted(label))"
        line += ",\"message\":\(ProblemDetails.quoted(event.message.description))"
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }) {
            line += ",\(ProblemDetails.quoted(key)):\(ProblemDetails.quoted("\(value)"))"
        }
        let bytes = Array((line + "}\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, bytes.count) }
    }
}
