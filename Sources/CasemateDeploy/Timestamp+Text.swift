import CasemateModel
import Foundation

extension Timestamp {
    /// From a time with a zone, with or without fractions of a second (RFC 3339 §5.6).
    public init?(rfc3339 text: String) {
        let styles = [Date.ISO8601FormatStyle(), Date.ISO8601FormatStyle(includingFractionalSeconds: true)]
        guard text.utf8.count <= 40, let date = styles.lazy.compactMap({ try? Date(text, strategy: $0) }).first,
            // Beyond these nothing is meant.
            (0...253_402_300_799).contains(date.timeIntervalSince1970)
        else { return nil }
        self.init(milliseconds: Int64(date.timeIntervalSince1970 * 1000))
    }
}
