import Yams

/// From Yams' nodes to ours, refusing what a manifest has no use for.
struct YAMLTree {
    private(set) var faults: Faults
    /// In the text that was composed, as the nodes' marks are.
    private var cursor: YAMLCursor

    init(text: String, faults: Faults) {
        self.faults = faults
        cursor = YAMLCursor(text)
    }

    mutating func node(_ node: Node, depth: Int) -> YAMLNode {
        let line = node.mark?.line ?? 1
        guard depth <= YAMLFile.maximumDepth else {
            faults.error(line, "this is nested more than \(YAMLFile.maximumDepth) levels deep", fix: "write it flatter")
            return YAMLNode(line: line, value: .unreadable)
        }
        refuseProperties(of: node, line: line)
        switch node {
        case .scalar(let scalar):
            return YAMLNode(line: line, value: .text(YAMLText(text: scalar.string, isPlain: scalar.style == .plain)))
        case .sequence(let sequence):
            return YAMLNode(line: line, value: .list(sequence.map { self.node($0, depth: depth + 1) }))
        case .mapping(let mapping):
            return YAMLNode(line: line, value: .mapping(entries(of: mapping, depth: depth)))
        case .alias:
            // Only Yams' emitter makes these.
            return YAMLNode(line: line, value: .unreadable)
        }
    }

    private mutating func entries(of mapping: Node.Mapping, depth: Int) -> [YAMLEntry] {
        var entries: [YAMLEntry] = []
        var lines: [String: Int] = [:]
        for (key, value) in mapping {
            let line = key.mark?.line ?? 1
            // In the order of the file, for the cursor's sake: also where the key is refused.
            let key = self.key(key, line: line, depth: depth)
            let value = node(value, depth: depth + 1)
            guard let key else { continue }
            if let first = lines[key] {
                faults.error(line, "the key \(Wording.quoted(key)) is given again, first on line \(first)", fix: "keep one of them")
                continue
            }
            lines[key] = line
            entries.append(YAMLEntry(key: key, keyLine: line, value: value))
        }
        return entries
    }

    private mutating func key(_ node: Node, line: Int, depth: Int) -> String? {
        guard case .scalar(let scalar) = node else {
            faults.error(line, "a key must be a word", fix: "write it as name: value, and a text that starts with { or [ in quotes")
            return nil
        }
        refuseProperties(of: node, line: line)
        if scalar.style == .plain, RepeatedKey.original(scalar.string) == "<<" {
            faults.error(line, "merge keys (<<) are not allowed", fix: "write the keys out")
            return nil
        }
        return RepeatedKey.original(scalar.string)
    }

    /// An anchor or a tag, however it is resolved: a node's mark leads to its first property.
    private mutating func refuseProperties(of node: Node, line: Int) {
        guard let mark = node.mark else { return }
        switch cursor.byte(line: mark.line, column: mark.column) {
        case UInt8(ascii: "&"):
            faults.error(line, "anchors (&) are not allowed", fix: "remove it, or write a text that starts with & in quotes")
        case UInt8(ascii: "!"):
            faults.error(line, "tags (!) are not allowed", fix: "remove it, or write a text that starts with ! in quotes")
        default: break
        }
    }
}
