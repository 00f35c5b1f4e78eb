import CasemateModel

/// `inputSchema`: what the function's calls have to bring.
extension ManifestReader {
    /// A file for the body, or one for each part that is listed; nil where it sets nothing.
    mutating func inputSchema(_ field: Field) -> InputSchemas? {
        guard case .mapping = field.node.value else { return schemaFile(field).map { InputSchemas(body: $0) } }
        guard let fields = fields(of: field.node, at: Place(field), known: InputSchemas.Part.allCases.map(\.rawValue)) else { return nil }
        var schemas = InputSchemas()
        for part in InputSchemas.Part.allCases { schemas[part] = fields[part.rawValue].flatMap { schemaFile($0) } }
        return schemas == InputSchemas() ? nil : schemas
    }

    private mutating func schemaFile(_ field: Field) -> InputSchemas.File? {
        guard let path = text(field), isRelativePath(path, field, example: "schema.json", of: "the source's folder") else { return nil }
        return InputSchemas.File(path: path.hasPrefix("./") ? String(path.dropFirst(2)) : path)
    }
}
