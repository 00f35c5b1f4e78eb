/// What is known of the advisories that bundles are held against.
public struct AdvisoryDatabase: Hashable, Sendable, Codable {
    /// From here on it is too old to rely on.
    public static let freshForMilliseconds: Int64 = 7 * 86_400_000

    /// So many advisories, each for one package.
    public var records: Int
    /// When the newest of them was changed, and when they came here.
    public var newest: Timestamp
    public var imported: Timestamp
    public var importedBy: String
    /// SHA-256 of the archive.
    public var digest: String

    public init(records: Int, newest: Timestamp, imported: Timestamp, importedBy: String, digest: String) {
        self.records = records
        self.newest = newest
        self.imported = imported
        self.importedBy = importedBy
        self.digest = digest
    }

    /// By the age of its content: an old snapshot that was imported today is old.
    public func isFresh(at now: Timestamp) -> Bool { now.milliseconds - newest.milliseconds < Self.freshForMilliseconds }
}

/// One advisory for one package, as the gate's checks wrote it and read it again: nobody else looks into it.
public struct StoredAdvisory: Sendable, Equatable {
    public var id: String
    public var package: String
    /// JSON.
    public var record: [UInt8]

    public init(id: String, package: String, record: [UInt8]) {
        self.id = id
        self.package = package
        self.record = record
    }
}
