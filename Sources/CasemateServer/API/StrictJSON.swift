import CasemateModel
import Foundation

/// A request body whose fields are all known: an unknown one is a mistake that must not pass silently.
protocol StrictDecodable: Decodable {
    static var fields: Set<String> { get }
}

enum StrictJSON {
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

    /// Brackets open at once, outside strings: the decoder recurses, so that depth is bounded before it runs. Nil for what Foundation's
    /// parser would let pass though it is no JSON (RFC 8259): another encoding than UTF-8, an open end, a comma before a closing bracket.
    private static func depth(_ bytes: [UInt8]) -> Int? {
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil, bytes.first != 0xef else { return nil }
        var depth = 0
        var most = 0
        var isInString = false
        var isEscaped = false
        var last: UInt8 = 0
        var begin = 0
        var string: ArraySlice<UInt8> = []
        var keys: [Set<ArraySlice<UInt8>>] = []
        for (index, byte) in bytes.enumerated() {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                    string = bytes[begin..<index]
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""):
                isInString = true
                begin = index + 1
            case UInt8(ascii: ":"):
                // The same name twice: which one counts is anyone's guess (RFC 8259 §4).
                guard !keys.isEmpty, keys[keys.count - 1].insert(string).inserted else { return nil }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= 64 else { return depth }
                keys.append([])
                most = max(most, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard last != UInt8(ascii: ",") else { return nil }
                depth -= 1
                guard depth >= 0 else { return nil }
                keys.removeLast()
            default: break
            }
            if ![9, 10, 13, 32].contains(byte) { last = byte }
        }
        return depth == 0 && !isInString ? most : nil
    }
}
