import CasemateModel
import NIOHTTP1

/// What a body says of itself.
enum MediaType {
    /// JSON as it is on the wire: `application/json`, or what is made of it (RFC 6839 §3.1), in UTF-8 (RFC 8259 §8.1).
    /// - Throws: `.unsupportedMediaType`.
    static func checkJSON(_ headers: HTTPHeaders) throws(Problem) {
        let codings = headers[canonicalForm: "content-encoding"].map { $0.lowercased() }
        guard codings.allSatisfy({ $0 == "identity" }) else {
            throw Problem(.unsupportedMediaType, "the function takes no compressed body; send it without a Content-Encoding")
        }
        let types = headers["content-type"]
        guard types.count == 1, isJSON(types[0]) else {
            throw Problem(.unsupportedMediaType, "the function takes JSON in UTF-8; send it with Content-Type: application/json")
        }
    }

    private static func isJSON(_ type: String) -> Bool {
        let parts = type.lowercased().split(separator: ";", omittingEmptySubsequences: false).map { trimmed($0) }
        let name = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard name.count == 2, !name[0].isEmpty, name[1] == "json" && name[0] == "application" || name[1].hasSuffix("+json") else {
            return false
        }
        return parts.dropFirst().allSatisfy { parameter in
            guard parameter.hasPrefix("charset") else { return true }
            return ["charset=utf-8", "charset=\"utf-8\"", "charset=utf8"].contains(parameter)
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        guard let end = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return start[...end]
    }
}
