import Foundation

/// A query as forms write it (`application/x-www-form-urlencoded`, WHATWG URL §5.1).
enum QueryParameters {
    /// In their order; nil for a percent sign that stands for nothing, and for what is no UTF-8.
    static func decoded(_ query: Substring) -> [(String, String)]? {
        var parameters: [(String, String)] = []
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = text(parts[0]), let value = parts.count == 2 ? text(parts[1]) : "" else { return nil }
            parameters.append((name, value))
        }
        return parameters
    }

    private static func text(_ part: Substring) -> String? { part.replacing("+", with: " ").removingPercentEncoding }
}
