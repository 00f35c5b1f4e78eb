import CasemateModel
import CasemateStore
import Foundation

/// `triggers`: when the function is called by itself.
extension ManifestReader {
    /// Sorted by name; nil for none.
    mutating func triggers(_ field: Field) -> [ScheduleSpec]? {
        guard let items = items(field, example: "[{cron: \"0 * * * *\"}]") else { return nil }
        var found: [ScheduleSpec] = []
        for (index, item) in items.enumerated() {
            let place = Place("a trigger", prefix: "trigger.")
            let known = ["name", "cron", "timezone", "input", "jitter", "missed"]
            guard let fields = fields(of: item, at: place, known: known) else { continue }
            let cron = required("cron", in: fields, line: item.line, of: "this trigger", example: "cron: \"0 * * * *\"").flatMap {
                text($0)
            }
            let zone = fields["timezone"].flatMap { text($0) } ?? "UTC"
            var spec = ScheduleSpec(name: FunctionLabel(unchecked: "cron-\(index + 1)"), cron: cron ?? "@daily", timeZone: zone)
            if let field = fields["name"] {
                guard let name: FunctionLabel = name(field) else { continue }
                spec.name = name
            }
            if cron != nil {
                do throws(Problem) { _ = try ScheduleTimes(cron: spec.cron, timeZone: zone) } catch {
                    faults.error(fields["cron"]?.line ?? item.line, error.detail, fix: "minute hour day month weekday: \"0 6 * * 1-5\"")
                }
            }
            if let jitter = fields["jitter"].flatMap({ duration($0, in: 0...Schedule.jitterRange.upperBound * 1000, example: "30s") }) {
                spec.jitterInSeconds = jitter / 1000
            }
            spec.missed = fields["missed"].flatMap { choice($0, of: Schedule.Missed.allCases.map(\.rawValue)) }.flatMap {
                Schedule.Missed(rawValue: $0)
            }
            if let field = fields["input"] { spec.input = json(field.node) }
            if let other = found.first(where: { $0.name == spec.name }) {
                faults.error(item.line, "two triggers are called \(other.name)", fix: "give one of them another name")
            }
            found.append(spec)
        }
        return found.isEmpty ? nil : found.sorted { $0.name < $1.name }
    }

    /// A YAML value as the JSON that it means; nil after a report.
    private mutating func json(_ node: YAMLNode) -> String? {
        guard let value = value(of: node, depth: 0) else { return nil }
        guard
            let data = try? JSONSerialization.data(
                withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes])
        else { return nil }
        guard data.count <= Schedule.mostInputBytes else {
            faults.error(node.line, "a trigger's input is larger than \(Schedule.mostInputBytes) bytes", fix: "keep it elsewhere")
            return nil
        }
        return String(decoding: data, as: UTF8.self)
    }

    private mutating func value(of node: YAMLNode, depth: Int) -> Any? {
        guard depth < 32 else {
            faults.error(node.line, "a trigger's input is nested too deep", fix: "flatten it")
            return nil
        }
        switch node.value {
        case .unreadable: return nil
        case .list(let items): return items.compactMap { value(of: $0, depth: depth + 1) }
        case .mapping(let entries):
            var object: [String: Any] = [:]
            for entry in entries { object[entry.key] = value(of: entry.value, depth: depth + 1) }
            return object
        case .text(let text):
            switch text.kind {
            case .text, .date: return text.text
            case .null: return NSNull()
            case .boolean:
                // YAML 1.1 takes yes and no for booleans, YAML 1.2 for texts: which is meant?
                guard ["true", "false"].contains(text.text.lowercased()) else {
                    faults.error(
                        node.line, "\(Wording.quoted(text.text)) can be a text or a boolean", fix: "write true, false, or quote it")
                    return nil
                }
                return text.text.lowercased() == "true"
            case .number:
                guard let number = Decimal(string: text.text, locale: nil), Double(text.text) != nil else {
                    faults.error(node.line, "\(Wording.quoted(text.text)) is no number in JSON", fix: "write it as a decimal, or quote it")
                    return nil
                }
                return number as NSDecimalNumber
            }
        }
    }
}
