import CasemateModel

/// `callers`: the functions that may call this one. Without it none may.
extension ManifestReader {
    /// Sorted; nil for none.
    mutating func callers(_ field: Field) -> [FunctionName]? {
        guard let items = items(field, example: "[\"plant/ingest\"]") else { return nil }
        var lines: [FunctionName: Int] = [:]
        for item in items {
            guard let text = text(Field(path: "an entry of \(field.path)", keyLine: item.line, node: item)) else { continue }
            guard let name = FunctionName(text) else {
                faults.error(
                    item.line, "\(Wording.quoted(text)) under \(field.path) is not NAMESPACE/FUNCTION", fix: "write it as \"plant/ingest\"")
                continue
            }
            if let first = lines[name] {
                faults.error(item.line, "\(name) is given again, first on line \(first)", fix: "keep one of them")
            }
            lines[name] = lines[name] ?? item.line
        }
        return lines.isEmpty ? nil : lines.keys.sorted()
    }
}
