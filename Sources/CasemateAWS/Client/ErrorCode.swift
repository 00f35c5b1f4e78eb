import Foundation

/// The error's code in an answer that is a refusal: AWS's own, or `HTTP` and the status.
///
/// It stands in `x-amzn-ErrorType` or `__type` (AWS JSON 1.1, "Operation error serialization": what follows `#` and precedes `:` counts),
/// or in S3's `<Code>`. Only letters, digits and dots are taken, 100 at most: the rest of a body may hold what was sent.
enum ErrorCode {
    static func of(_ answer: Answer) -> String {
        let code = answer.headers[.errorType].flatMap(cleaned) ?? answer.body.withBytes { json(answer.body, $0) ?? xml($0) }
        return code ?? "HTTP\(answer.status)"
    }

    private static func json(_ body: SensitiveBytes, _ bytes: UnsafeRawBufferPointer) -> String? {
        struct Fault: Decodable {
            var __type: String?
            var code: String?
        }
        guard bytes.first == UInt8(ascii: "{"), bytes.count <= 65_536,
            let fault = body.withData({ try? JSONDecoder().decode(Fault.self, from: $0) })
        else { return nil }
        return (fault.__type ?? fault.code).flatMap(cleaned)
    }

    private static func xml(_ bytes: UnsafeRawBufferPointer) -> String? {
        var scanner = ElementScanner(bytes)
        guard scanner.enter("Error"), let code = scanner.text(of: "Code") else { return nil }
        return cleaned(code)
    }

    private static func cleaned(_ text: String) -> String? {
        let shape = text.prefix { $0 != ":" }
        let name = shape.lastIndex(of: "#").map { shape[shape.index(after: $0)...] } ?? shape
        return name.isMade(of: ".", atMost: 100) ? String(name) : nil
    }
}
