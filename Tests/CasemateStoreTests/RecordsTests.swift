import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

@Suite("The database file")
struct RecordsTests {
    @Test("what was committed is there after reopening")
    func reopen() async throws {
        try await withFolder { folder async throws in
            let namespace = Namespace.made("team")
            do {
                let records = try Records(path: folder + "/casemate.db")
                try await records.write { try $0.insert(namespace) }
            }
            let records = try Records(path: folder + "/casemate.db")
            #expect(try await records.read { try $0.namespaces() } == [namespace])
        }
    }

    @Test("a transaction that throws leaves nothing")
    func rollback() async throws {
        try await withRecords { records async throws in
            await #expect(throws: Problem.self) {
                try await records.write { transaction in
                    try transaction.insert(Namespace.made("team"))
                    throw Problem(.conflict, "no")
                }
            }
            #expect(try await records.read { try $0.namespaces() }.isEmpty)
        }
    }

    @Test("reading changes nothing")
    func readOnly() async throws {
        try await withRecords { records async throws in
            await #expect(throws: (any Error).self) { try await records.read { try $0.insert(Namespace.made("team")) } }
            #expect(try await records.read { try $0.namespaces() }.isEmpty)
        }
    }

    @Test("a database of a later release is refused, and stays as it is")
    func newerSchema() async throws {
        try await withFolder { folder async throws in
            let path = folder + "/casemate.db"
            do {
                let records = try Records(path: path)
                try await records.write { try $0.insert(Namespace.made("team")) }
            }
            try sqlite(path, "INSERT INTO grdb_migrations VALUES ('9999 of the future')")
            let error = #expect(throws: RecordsError.self) { try Records(path: path) }
            guard case .newerSchema? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            try sqlite(path, "DELETE FROM grdb_migrations WHERE identifier = '9999 of the future'")
            let again = try Records(path: path)
            #expect(try await again.read { try $0.namespaces() }.count == 1)
        }
    }

    @Test("a file that is no database is refused, and not replaced")
    func noDatabase() async throws {
        try await withFolder { folder async throws in
            let path = folder + "/casemate.db"
            let garbage = Data((0..<8192).map { UInt8(truncatingIfNeeded: $0 * 31 + 7) })
            try garbage.write(to: URL(fileURLWithPath: path))
            #expect(throws: (any Error).self) { try Records(path: path) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == garbage)
        }
    }

    @Test("a database with a damaged page is refused, and not replaced")
    func damagedPage() async throws {
        try await withFolder { folder async throws in
            let path = folder + "/casemate.db"
            do {
                let records = try Records(path: path)
                try await records.write { transaction in
                    for number in 0..<400 { try transaction.insert(Namespace.made("team-\(number)")) }
                }
            }
            try sqlite(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            let size = try contents(path).count
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            // Every page but the first, so that the schema can still be read.
            for offset in stride(from: 4096, to: size, by: 4096) {
                try file.seek(toOffset: UInt64(offset))
                try file.write(contentsOf: Data(repeating: 0xa5, count: 64))
            }
            try file.close()
            #expect(throws: (any Error).self) { try Records(path: path) }
            let after = try contents(path)
            #expect(after.count == size)
            #expect(after[4096..<4160].allSatisfy { $0 == 0xa5 })
        }
    }

    @Test("a file that was cut short is refused")
    func cutShort() async throws {
        try await withFolder { folder async throws in
            let path = folder + "/casemate.db"
            do {
                let records = try Records(path: path)
                try await records.write { transaction in
                    for number in 0..<400 { try transaction.insert(Namespace.made("team-\(number)")) }
                }
            }
            try sqlite(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            #expect(truncate(path, 3 * 4096) == 0)
            #expect(throws: (any Error).self) { try Records(path: path) }
        }
    }
}
