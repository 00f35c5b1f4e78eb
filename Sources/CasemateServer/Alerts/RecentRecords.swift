import CasemateModel
import Synchronization

/// The newest records of the audit log, as they were written: whoever follows it need not read the file for each.
final class RecentRecords: Sendable {
    private static let most = 4096
    private let records: Mutex<[AuditRecord]> = Mutex([])

    func add(_ new: [AuditRecord]) {
        records.withLock { records in
            records += new
            if records.count > 2 * Self.most { records.removeFirst(records.count - Self.most) }
        }
    }

    /// At most `limit` of those after `sequence` that `isWanted`, and the number of the last one looked at; nil where they begin later.
    func read(
        after sequence: UInt64, limit: Int, where isWanted: (AuditRecord) -> Bool
    ) -> (records: [AuditRecord], last: UInt64)? {
        records.withLock { records in
            guard let first = records.first?.sequence, first <= sequence + 1 else { return nil }
            var found: [AuditRecord] = []
            var last = sequence
            // Numbered without a gap.
            for record in records.dropFirst(Int(sequence + 1 - first)) {
                last = record.sequence
                if isWanted(record) { found.append(record) }
                if found.count == limit { break }
            }
            return (found, last)
        }
    }
}
