import CasemateModel

extension SchemaFault {
    /// As a fault of the file that holds the schema.
    public func diagnostic(file: String) -> Diagnostic {
        Diagnostic(file: file, what: "\(pointer.isEmpty ? "the schema" : pointer) \(what)", fix: fix)
    }
}
