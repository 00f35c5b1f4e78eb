import CasemateModel
import Foundation

/// What stands in a JSON object, in kinds that can't be taken for each other: a number that is no whole one is none.
enum JSONValue: Sendable, Equatable {
    case text(String)
    case whole(Int64)
    case list([JSONValue])
    case flag(Bool)
    /// Objects, null, and numbers with a fraction or out of range.
    case other

    init(_ value: Any) {
        switch value {
        case let text as String: self = .text(text)
        case let list as [Any]: self = .list(list.map { JSONValue($0) })
        case let number as NSNumber:
            // Foundation has one type for all numbers and for true and false; what was written shows in its C type.
            switch String(cString: number.objCType) {
            case "c", "B": self = .flag(number.boolValue)
            case "q", "i", "s", "l": self = .whole(number.int64Value)
            default: self = .other
            }
        default: self = .other
        }
    }

    /// A text, or a list of texts; nil for anything else.
    var texts: [String]? {
        switch self {
        case .text(let text): [text]
        case .list(let list):
            list.reduce(into: [String]?.some([])) { found, item in
                if case .text(let text) = item { found?.append(text) } else { found = nil }
            }
        default: nil
        }
    }
}

/// A JSON object in UTF-8 (RFC 8259), each name once, at most 16 levels deep.
struct JSONObject: Sendable, Equatable {
    private let fields: [String: JSONValue]

    init?(_ bytes: [UInt8]) {
        guard let depth = StrictJSON.depth(bytes), depth <= 16,
            let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        else { return nil }
        fields = object.mapValues { JSONValue($0) }
    }

    subscript(name: String) -> JSONValue? { fields[name] }
}
