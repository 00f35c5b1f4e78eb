import Yams

extension YAMLFault {
    static let unreadable = YAMLFault(line: nil, what: "this is not YAML", fix: "check the indentation and the quotes")

    /// libyaml's fault in our words. Its own come with a snippet of the file, which could hold a secret.
    init(_ error: YamlError, in text: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            var cursor = YAMLCursor(text)
            let byte = cursor.byte(line: mark.line, column: mark.column)
            let explained = Self.explain(problem, context: context?.text ?? "", byte: byte)
            let line = explained.startsInContext ? context?.mark.line ?? mark.line : mark.line
            self.init(line: line, what: explained.what, fix: explained.fix)
        default:
            self = .unreadable
        }
    }

    private struct Explained {
        var what: String
        var fix: String
        /// Whether the line to look at is where the construct started, not where libyaml gave up (often the end of the file).
        var startsInContext = false
    }

    /// The texts are those of libyaml 0.2.5 (scanner.c, parser.c) and Yams 6.2.2 (Parser.swift).
    private static func explain(_ problem: String, context: String, byte: UInt8?) -> Explained {
        switch problem {
        case "found undefined alias":
            return Explained(what: "aliases (*) are not allowed", fix: "write the value out, or a text that starts with * in quotes")
        case "but found another document":
            return Explained(what: "there is more than one document", fix: "remove the --- line and what follows it")
        case "found character that cannot start any token" where byte == UInt8(ascii: "\t"),
            "found a tab character that violates indentation", "found a tab character where an indentation space is expected":
            return Explained(what: "there is a tab in the indentation", fix: "indent with spaces")
        case "found character that cannot start any token":
            return Explained(what: "a value can't start with this character", fix: "write it in quotes")
        case "did not find expected alphabetic or numeric character":
            return Explained(what: "a value can't start with * or &", fix: "write it in quotes", startsInContext: true)
        case "mapping values are not allowed in this context":
            return Explained(what: "there is a colon too many", fix: "check the indentation, and write a text that holds \": \" in quotes")
        case "did not find expected key", "did not find expected '-' indicator", "did not find expected <document start>",
            "did not find expected node content":
            return Explained(what: "this does not fit the lines above", fix: "check the indentation, brackets and quotes")
        case "could not find expected ':'":
            return Explained(what: "a colon is missing", fix: "write it as name: value", startsInContext: true)
        case "did not find expected ',' or ']'":
            return Explained(
                what: "a list in [ ] is not closed, or lacks a comma", fix: "check its commas and brackets", startsInContext: true)
        case "did not find expected ',' or '}'":
            return Explained(
                what: "a mapping in { } is not closed, or lacks a comma", fix: "check its commas and braces", startsInContext: true)
        case "found unexpected end of stream", "found unexpected document indicator":
            return Explained(what: "a quote is not closed", fix: "close it", startsInContext: true)
        case "found unknown escape character", "did not find expected hexdecimal number", "found invalid Unicode character escape code":
            return Explained(what: "double quotes hold an unknown \\ escape", fix: "use single quotes, or \\\\ for a \\")
        case "block sequence entries are not allowed in this context":
            return Explained(what: "a list can't start here", fix: "put each - on a line of its own")
        case "found undefined tag handle":
            return Explained(what: "tags (!) are not allowed", fix: "remove it, or write a text that starts with ! in quotes")
        case _ where problem.hasPrefix("Maximum nesting level reached"):
            return Explained(what: "this is nested more than \(YAMLFile.maximumDepth) levels deep", fix: "write it flatter")
        case _ where context.hasPrefix("while scanning a tag") || context.hasPrefix("while parsing a tag"):
            return Explained(what: "tags (!) are not allowed", fix: "remove it, or write a text that starts with ! in quotes")
        default:
            return Explained(what: Self.unreadable.what, fix: Self.unreadable.fix)
        }
    }
}
