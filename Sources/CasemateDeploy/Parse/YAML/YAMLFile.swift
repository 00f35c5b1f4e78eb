import Yams

/// Reads YAML that someone else wrote: one document of mappings, lists and scalars, with lines, and nothing of YAML's that computes.
///
/// Refused are aliases, anchors, tags, merge keys, directives, repeated keys, keys that aren't scalars, further documents and more than
/// 32 levels. The stages, each of which makes the next one safe:
/// 1. `YAMLBytes`: one pass over the bytes, for what would make libyaml or Yams work more than the file is long.
/// 2. `YAMLAliases`: refuses aliases. Yams copies an alias' target, which costs nothing until it hashes a mapping's keys:
///    `? *a9 : x` then visits all of a billion laughs.
/// 3. `YAMLComposer`: Yams, with the lines of repeated keys.
/// 4. `YAMLTree`: from Yams' nodes to ours, refusing the rest.
enum YAMLFile {
    enum Outcome {
        case root(YAMLNode)
        /// Nothing but comments.
        case empty
        /// The faults say why.
        case refused
    }

    static let maximumDepth = 32

    static func read(_ text: String, into faults: inout Faults) -> Outcome {
        var text = text
        if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
        // Yams keeps a pointer to the text's own storage.
        text.makeContiguousUTF8()

        do throws(YAMLFault) {
            try YAMLBytes.check(text)
            // libyaml stops at 1000 levels (each up to two nodes), and Yams recurses: too much for a thread with a small stack.
            let outcome = withDeepStack { [faults] in compose(text, faults) }
            guard let outcome else { throw YAMLFault(line: nil, what: "the file can't be read now", fix: "try again later") }
            faults = outcome.faults
            return try outcome.result.get()
        } catch {
            faults.error(error.line, error.what, fix: error.fix)
            return .refused
        }
    }

    private static func compose(_ text: String, _ faults: Faults) -> (result: Result<Outcome, YAMLFault>, faults: Faults) {
        do throws(YAMLFault) {
            try YAMLAliases.refuse(in: text)
            let composed = try YAMLComposer.compose(text)
            guard let root = composed.root else { return (.success(.empty), faults) }
            var tree = YAMLTree(text: composed.text, faults: faults)
            let node = tree.node(root, depth: 1)
            return (.success(node.isNull ? .empty : .root(node)), tree.faults)
        } catch {
            return (.failure(error), faults)
        }
    }
}

/// Why a text is no YAML that we take. It never holds a part of the text but a key.
struct YAMLFault: Error {
    var line: Int?
    var what: String
    var fix: String
}
