/// The first rule that a document breaks, and where.
///
/// It never quotes the document's values, for one may be a secret. Names of members stand in the pointer, as far as they look like names.
public struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where in the document (RFC 6901); empty for the whole of it. It ends above a name that is longer than 128 bytes or holds a control
    /// character: that is data.
    public let pointer: String
    /// The schema's keyword; `false` for a schema that is just that, empty where the check ended before its verdict.
    public let keyword: String
    /// The rule, to be read after the place: `must be at least 0`.
    public let message: String
    /// The check ended before its verdict. Whatever it would have been, the document is refused.
    public let isTooCostly: Bool

    init(pointer: String, keyword: String, message: String, isTooCostly: Bool = false) {
        self.pointer = pointer
        self.keyword = keyword
        self.message = message
        self.isTooCostly = isTooCostly
    }

    /// `/items/3/price in the body must be at least 0`
    public func told(of document: String) -> String {
        pointer.isEmpty ? "\(document) \(message)" : "\(pointer) in \(document) \(message)"
    }

    /// `/items/3/price: must be at least 0`
    public var description: String { pointer.isEmpty ? message : "\(pointer): \(message)" }
}

/// A violation whose place is still being told, from the inside out, by those who looked into it.
struct Failure {
    enum Step { case name(JSONString), index(Int) }

    private static let mostNameBytes = 128

    let keyword: String
    let message: String
    /// The innermost first.
    private var steps: [Step] = []

    init(_ keyword: String, _ message: String) {
        self.keyword = keyword
        self.message = message
    }

    func within(_ step: Step) -> Failure {
        var failure = self
        failure.steps.append(step)
        return failure
    }

    /// The value is of another kind than the rules are about, by its type or by the word in one of its members that says so.
    /// So of several alternatives this one was not meant.
    var isAboutKind: Bool {
        switch keyword {
        case "type", "false": steps.isEmpty
        case "const", "enum": steps.count <= 1
        default: false
        }
    }

    private static func looksLikeName(_ name: JSONString) -> Bool {
        name.utf8.count <= mostNameBytes && name.text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }

    var violation: Violation {
        var pointer = ""
        for step in steps.reversed() {
            switch step {
            case .index(let index): pointer += "/\(index)"
            case .name(let name):
                guard Self.looksLikeName(name) else {
                    return Violation(pointer: pointer, keyword: keyword, message: "holds something that " + message)
                }
                pointer += "/" + name.pointerToken
            }
        }
        return Violation(pointer: pointer, keyword: keyword, message: message)
    }
}

/// Ends a check before its verdict.
struct TooCostly: Error {
    let reason: String

    var violation: Violation { Violation(pointer: "", keyword: "", message: "is too costly to check: \(reason)", isTooCostly: true) }
}
