import CasemateModel
import NIOHTTP1

/// That a caller wants to be told at once that its call will run, and asks later what became of it (RFC 7240 §4.1), and how.
package struct AsyncWish: Equatable {
    /// Calls of one key run one after the other, as they came.
    package var orderKey: String?
    /// The same request under the same key is one call (draft-ietf-httpapi-idempotency-key-header).
    package var idempotencyKey: String?

    static let preference = "respond-async"
    private static let longest = 256

    package init(orderKey: String? = nil, idempotencyKey: String? = nil) {
        self.orderKey = orderKey
        self.idempotencyKey = idempotencyKey
    }

    /// Nil for a call that waits for its answer, as most do.
    /// - Throws: `.invalidRequest` for a key that is none.
    init?(_ headers: HTTPHeaders) throws(Problem) {
        guard headers.first(name: "prefer") != nil, Self.isPreferred(headers) else { return nil }
        orderKey = try Self.key("Casemate-Key", headers)
        idempotencyKey = try Self.key("Idempotency-Key", headers)
    }

    private static func isPreferred(_ headers: HTTPHeaders) -> Bool {
        headers[canonicalForm: "prefer"].contains { preference in
            let name = preference.prefix { $0 != ";" && $0 != "=" }.lowercased()
            return name.split(separator: " ").first.map(String.init) == Self.preference
        }
    }

    /// One value of visible characters; a structured field's string (RFC 9651 §3.3.3) stands for what is between its quotes.
    private static func key(_ name: String, _ headers: HTTPHeaders) throws(Problem) -> String? {
        let values = headers[name]
        guard let first = values.first else { return nil }
        var key = first[...]
        if key.count >= 2, key.first == "\"", key.last == "\"" { key = key.dropFirst().dropLast() }
        guard values.count == 1, (1...longest).contains(key.utf8.count), key.utf8.allSatisfy({ (33...126).contains($0) }) else {
            throw Problem(.invalidRequest, "\(name) stands once, with 1 to \(longest) visible ASCII characters")
        }
        return String(key)
    }
}
