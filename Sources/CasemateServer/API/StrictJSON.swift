import CasemateModel
import Foundation

/// A request body whose fields are all known: an unknown one is a mistake that must not pass silently.
protocol StrictDecodable: Decodable {
    static var fields: Set<String> { get }
}

extension StrictJSON {
    /// - Throws: `.invalidRequest` saying which field, never what stood in it.
    static func decode<T: StrictDecodable>(_ bytes: [UInt8]) throws(Problem) -> T {
        guard bytes.count <= 16 << 20 else { throw Problem(.tooLarge, "the body is too large") }
        guard let depth = depth(bytes) else { throw Problem(.invalidRequest, "the body is not JSON in UTF-8") }
        guard depth <= 64 else { throw Problem(.invalidRequest, "the body is nested too deeply") }
        guard let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            throw Problem(.invalidRequest, "the body must be a JSON object")
        }
        if let unknown = object.keys.filter({ !T.fields.contains($0) }).min() {
            throw Problem(.invalidRequest, "unknown field \"\(unknown.prefix(60))\"; known: \(T.fields.sorted().joined(separator: ", "))")
        }
        do {
            return try JSONDecoder().decode(T.self, from: Data(bytes))
        } catch let problem as Problem {
            throw problem
        } catch DecodingError.keyNotFound(let key, _) {
            throw Problem(.invalidRequest, "field \"\(key.stringValue)\" is missing")
        } catch DecodingError.typeMismatch(let type, let context), DecodingError.valueNotFound(let type, let context) {
            throw Problem(
                .invalidRequest,
                "field \"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" must be a \("\(type)".lowercased())")
        } catch {
            throw Problem(.invalidRequest, "the body is not what this operation takes")
        }
    }
}
