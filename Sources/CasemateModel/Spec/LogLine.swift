/// One line that a function printed, or that the platform says about it.
public struct LogLine: Sendable, Equatable {
    public enum Stream: UInt8, Sendable {
        case output = 1, error, platform

        public var name: String {
            switch self {
            case .output: "stdout"
            case .error: "stderr"
            case .platform: "casemate"
            }
        }
    }

    public var time: Timestamp
    public var stream: Stream
    /// Nil for what was printed while no call ran.
    public var call: CallId?
    /// Redacted; any bytes but a line feed.
    public var message: [UInt8]

    public init(time: Timestamp, stream: Stream, call: CallId?, message: [UInt8]) {
        self.time = time
        self.stream = stream
        self.call = call
        self.message = message
    }
}

extension LogLine {
    /// A line of the platform's own.
    public static func platform(_ text: String, at time: Timestamp, call: CallId? = nil) -> LogLine {
        LogLine(time: time, stream: .platform, call: call, message: Array(text.utf8))
    }
}
