import Yams

/// A value of a YAML file as its author wrote it: nothing is resolved, expanded or merged.
struct YAMLNode {
    enum Value {
        case text(YAMLText)
        case list([YAMLNode])
        /// In the order of the file; no key comes twice.
        case mapping([YAMLEntry])
        /// Already reported; whoever meets it says nothing more.
        case unreadable
    }

    /// Where it starts, from 1.
    var line: Int
    var value: Value

    /// Nothing after the colon, `~` or `null`.
    var isNull: Bool {
        guard case .text(let text) = value else { return false }
        return text.isPlain && ["", "~", "null", "Null", "NULL"].contains(text.text)
    }
}

struct YAMLEntry {
    var key: String
    var keyLine: Int
    var value: YAMLNode
}

/// A scalar. Its text is exact (`no` is "no", `1.10` is "1.10"); `kind` tells what other readers would make of it.
struct YAMLText {
    enum Kind: String {
        case text = "text"
        case boolean = "a boolean"
        case number = "a number"
        case date = "a date"
        case null = "nothing"
    }

    var text: String
    /// Neither quoted nor a block.
    var isPlain: Bool

    /// What YAML 1.1 takes it for: `no` and `on` are booleans there, `12:30` a number, `2026-01-01` a date.
    /// Source: yaml.org/type, in the form of Yams' and PyYAML's resolvers, which don't know `y` and `n`.
    var kind: Kind {
        // Beyond 100 bytes the patterns would only cost time.
        guard isPlain, text.utf8.count <= 100 else { return .text }
        switch Resolver.default.resolveTag(of: Node(text)) {
        case .bool: return .boolean
        case .int, .float: return .number
        case .timestamp: return .date
        case .null: return .null
        default: return .text
        }
    }
}
