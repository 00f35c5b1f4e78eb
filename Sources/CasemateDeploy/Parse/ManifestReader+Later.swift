import CasemateModel

/// Keys whose feature comes in a later version. Their values are checked all the same, so that a manifest that is right then is
/// answered with `… is not available yet` alone; their defaults and empty values are fine.
extension ManifestReader {
    mutating func checkLater(_ fields: Fields) {
        if let field = fields["inputSchema"], let path = text(field), !path.isEmpty, isRelativePath(path, field, example: "schema.json") {
            notAvailable(field)
        }
    }
}
