import CasemateModel

/// Keys whose feature comes in a later version. Their values are checked all the same, so that a manifest that is right then is
/// answered with `… is not available yet` alone; their defaults and empty values are fine.
extension ManifestReader {
    mutating func checkLater(_ fields: Fields) {
        if let field = fields["inputSchema"], let path = text(field), !path.isEmpty, isRelativePath(path, field, example: "schema.json") {
            notAvailable(field)
        }
        if let field = fields["triggers"] { checkTriggers(field) }
    }

    // MARK: Mappings

    private mutating func checkTriggers(_ field: Field) {
        let before = faults.errorCount
        guard let items = items(field, example: "[{cron: \"0 * * * *\"}]") else { return }
        for item in items {
            let place = Place("a trigger", prefix: "trigger.")
            guard let fields = fields(of: item, at: place, known: ["cron", "timezone", "input"]) else { continue }
            let cron = required("cron", in: fields, line: item.line, of: "this trigger", example: "cron: \"0 * * * *\"")
            for part in [cron, fields["timezone"]] {
                if let part { _ = text(part) }
            }
        }
        if !items.isEmpty { notAvailable(field, unlessErrorsSince: before) }
    }
}
