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

    /// RFC 9110 §8.3.1, to the letter: what others may read in two ways is nothing here.
    static func isJSON(_ field: String) -> Bool {
        var rest = Substring(field.lowercased()).utf8
        guard let type = token(&rest), takes("/", &rest), let subtype = token(&rest) else { return false }
        guard type == "application" && subtype == "json" || subtype.hasSuffix("+json") && subtype.utf8.count > 5 else { return false }
        while skipBlanks(&rest), !rest.isEmpty {
            guard takes(";", &rest) else { return false }
            _ = skipBlanks(&rest)
            // Nothing between two semicolons, or after the last one.
            guard let name = token(&rest) else { continue }
            guard takes("=", &rest), let value = token(&rest) ?? quoted(&rest) else { return false }
            guard name != "charset" || value == "utf-8" else { return false }
        }
        return true
    }

    private static func takes(_ character: Character, _ rest: inout Substring.UTF8View) -> Bool {
        guard rest.first == character.asciiValue else { return false }
        rest = rest.dropFirst()
        return true
    }

    private static func skipBlanks(_ rest: inout Substring.UTF8View) -> Bool {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
        return true
    }

    /// §5.6.2; nil where none begins.
    private static func token(_ rest: inout Substring.UTF8View) -> String? {
        let taken = rest.prefix { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
        rest = rest.dropFirst(taken.count)
        return taken.isEmpty ? nil : String(Substring(taken))
    }

    /// §5.6.4: what stands between the quotes; nil where none begin, or end.
    private static func quoted(_ rest: inout Substring.UTF8View) -> String? {
        guard takes("\"", &rest) else { return nil }
        var text: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            guard let next = byte == UInt8(ascii: "\\") ? rest.popFirst() : byte else { return nil }
            text.append(next)
        }
        return nil
    }
}
