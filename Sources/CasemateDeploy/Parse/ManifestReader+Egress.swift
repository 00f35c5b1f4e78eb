import CasemateModel

/// `egress`: the names that a function may reach. Without it there is no network.
extension ManifestReader {
    static let maximumEgress = 64

    /// Sorted; nil for none.
    mutating func egress(_ field: Field) -> [AllowedHost]? {
        guard let items = items(field, example: "[\"api.example.com:443\"]") else { return nil }
        if items.count > Self.maximumEgress {
            faults.error(field.line, "egress has more than \(Self.maximumEgress) entries", fix: "remove those that are not needed")
        }
        var lines: [AllowedHost: Int] = [:]
        for item in items.prefix(Self.maximumEgress) {
            guard let text = text(Field(path: "an entry of \(field.path)", keyLine: item.line, node: item)) else { continue }
            let host: AllowedHost
            do throws(EgressEntry.Fault) {
                host = try EgressEntry.parse(text)
            } catch {
                faults.error(item.line, "\(error.what), under \(field.path)", fix: error.fix)
                continue
            }
            if !text.utf8.allSatisfy({ $0 < 128 }) {
                faults.warning(item.line, "\(Wording.quoted(text)) has letters beyond ASCII; the name that is opened is \(host)")
            }
            if let warning = EgressEntry.warning(host) { faults.warning(item.line, warning) }
            if let first = lines[host] {
                faults.error(item.line, "\(host) is given again, first on line \(first)", fix: "keep one of them")
            }
            lines[host] = lines[host] ?? item.line
        }
        return lines.isEmpty ? nil : lines.keys.sorted()
    }
}
