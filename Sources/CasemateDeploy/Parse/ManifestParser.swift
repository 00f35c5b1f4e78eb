/// The `Parse` stage's reading of a native manifest, `casemate.yaml`:
/// text → `YAMLFile` (safe YAML, with lines) → `ManifestReader` (known keys, types, ranges) → `Manifest`.
///
/// Nothing is opened and nothing is looked up. No diagnostic holds a value of `env` or `secrets`, or a snippet of the file.
public enum ManifestParser {
    /// 1 MiB; a longer text is refused unread.
    public static let maximumSizeInBytes = 1 << 20

    /// - Parameter file: how diagnostics call it, as the person named it: `casemate.yaml`.
    /// - Throws: all faults of the file in one go; at most 100, then a line that says how many more there are.
    ///   A fault of YAML itself (a quote that isn't closed) is alone, since what follows it can't be known.
    public static func parse(_ text: String, file: String) throws(ManifestError) -> Manifest {
        var faults = Faults(file: file)
        let manifest = read(text, into: &faults)
        guard let manifest, faults.errorCount == 0 else { throw ManifestError(diagnostics: faults.sorted) }
        return Manifest(namespace: manifest.namespace, functions: manifest.functions, warnings: faults.sorted)
    }

    private static func read(_ text: String, into faults: inout Faults) -> Manifest? {
        guard text.utf8.count <= maximumSizeInBytes else {
            faults.error(nil, "the manifest is larger than 1 MiB", fix: "move data into the functions' folders")
            return nil
        }
        switch YAMLFile.read(text, into: &faults) {
        case .refused: return nil
        case .empty:
            faults.error(nil, "the manifest is empty", fix: "start with\n\(example)")
            return nil
        case .root(let root):
            var reader = ManifestReader(faults: faults)
            let manifest = reader.manifest(from: root)
            faults = reader.faults
            return manifest
        }
    }

    /// The smallest manifest there is.
    static let example = """
        functions:
          hello:
            source: ./hello
            runtime: python3.11
            handler: handler.handle
        """
}
