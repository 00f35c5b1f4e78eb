import Yams

/// Yams' composer, made to go on after a repeated key, so that both its lines become known and other faults are found too.
///
/// Yams refuses a mapping with a repeated key and tells the line of the first one only. That one is given another name
/// (`RepeatedKey`) and the text composed again, until no key is repeated; `YAMLTree` gives it its name back.
enum YAMLComposer {
    struct Composed {
        /// nil when there is nothing but comments.
        var root: Node?
        /// What was composed: the text with keys renamed, to which the nodes' marks belong. The lines are as they were.
        var text: String
    }

    /// More than 16 rounds, or more than 2 MiB composed, aren't worth their time: then one repeated key is all that is reported.
    private static let maximumRounds = 16
    private static let maximumWorkInBytes = 2 << 20

    /// - Throws: what libyaml can't read, in our words.
    static func compose(_ text: String) throws(YAMLFault) -> Composed {
        var text = text
        for round in 1... {
            do {
                let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
                let root = try parser.singleRoot()
                return Composed(root: root, text: text)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let line = context.mark.line
                guard round < maximumRounds, round * text.utf8.count < maximumWorkInBytes,
                    let renamed = RepeatedKey.rename(in: text, line: line, column: context.mark.column, number: round)
                else {
                    // Yams' word, and spelling, for a key that is no scalar.
                    let name = keys.first == "<uncovertable>" ? nil : keys.first
                    let key = name.map { " \(Wording.quoted(RepeatedKey.original($0)))" } ?? ""
                    throw YAMLFault(line: line, what: "the key\(key) is given more than once", fix: "keep one of them")
                }
                text = renamed
            } catch let error as YamlError {
                throw YAMLFault(error, in: text)
            } catch {
                throw YAMLFault.unreadable
            }
        }
        throw YAMLFault.unreadable
    }
}

/// The name that a repeated key gets for a while.
enum RepeatedKey {
    private static let prefix = "casemate-repeated-"

    /// The text with the key at that place renamed, or nil where the key isn't a plain or quoted word.
    static func rename(in text: String, line: Int, column: Int, number: Int) -> String? {
        // An author who writes such names wants to be misunderstood.
        guard number > 1 || !text.contains(prefix) else { return nil }
        var cursor = YAMLCursor(text)
        guard let byte = cursor.byte(line: line, column: column) else { return nil }
        let isQuoted = byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'")
        guard isQuoted || !"[{&!|>?:,]}#".utf8.contains(byte) else { return nil }
        let place = text.utf8.index(text.startIndex, offsetBy: cursor.offset + (isQuoted ? 1 : 0))
        return "\(text[..<place])\(prefix)\(number)-\(text[place...])"
    }

    /// The name as the author wrote it.
    static func original(_ key: String) -> String {
        guard key.hasPrefix(prefix), let dash = key.dropFirst(prefix.count).firstIndex(of: "-") else { return key }
        return String(key[key.index(after: dash)...])
    }
}
