/// Where a function's packages come from besides the server's index, and which of them may be built. Each package has exactly one index:
/// a name that two of them know is never a question of who has the higher version.
public struct PackageSources: Hashable, Sendable, Codable {
    /// An index of PEP 503's form.
    public struct Index: Hashable, Sendable, Codable {
        /// https, without credentials.
        public var url: String
        /// A secret of the function's, `user:password`: it is put into requests on the way out and is in no build.
        public var credentials: VariableName?
        /// Names of further hosts where its files lie.
        public var files: [String]?

        public init(url: String, credentials: VariableName? = nil, files: [String]? = nil) {
            self.url = url
            self.credentials = credentials
            self.files = files
        }
    }

    /// By names of the manifest's own.
    public var indexes: [String: Index]
    /// Which of these has a package: by its name as PEP 503 writes it, or the beginning of names and `*`.
    public var packages: [String: String]
    /// The one that has all others; nil for the server's.
    public var index: String?
    /// Names of packages that are built from their source distribution.
    public var fromSource: [String]

    public init(indexes: [String: Index] = [:], packages: [String: String] = [:], index: String? = nil, fromSource: [String] = []) {
        self.indexes = indexes
        self.packages = packages
        self.index = index
        self.fromSource = fromSource
    }

    public var isEmpty: Bool { indexes.isEmpty && packages.isEmpty && index == nil && fromSource.isEmpty }

    /// Names of the secrets that indexes want.
    public var credentials: [VariableName] { Array(Set(indexes.values.compactMap(\.credentials))).sorted() }

    /// A package's name as PEP 503 writes it, or the beginning of names and `*`; nil for what is neither.
    public static func pattern(_ text: String) -> String? {
        let isBeginning = text.hasSuffix("*")
        let name = isBeginning ? String(text.dropLast()) : text
        guard let first = name.utf8.first, isWord(first), name.utf8.count <= 100,
            name.utf8.allSatisfy({ isWord($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") }),
            isBeginning || name.utf8.last.map(isWord) == true
        else { return nil }
        var normal = ""
        for character in name.lowercased() {
            let isSeparator = "-_.".contains(character)
            if isSeparator, normal.hasSuffix("-") { continue }
            normal.append(isSeparator ? "-" : character)
        }
        return isBeginning ? normal + "*" : normal
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
    }
}
