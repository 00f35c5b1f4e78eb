import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Secrets as they are stored")
struct SecretRecordsTests {
    private let key = VariableName("KEY")!
    private let other = VariableName("A_KEY")!

    private func withFunction(_ body: (Records, Function) async throws -> Void) async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
            }
            try await body(records, function)
        }
    }

    private func set(_ name: VariableName, _ value: UInt8, _ records: Records, _ function: Function) async throws -> Int {
        try await records.write { transaction in
            let version = try transaction.nextSecretVersion(name, of: function.id)
            try transaction.put(
                SealedSecret(
                    functionId: function.id, name: name, version: version, sealed: [value, 0, value], updated: Timestamp(milliseconds: 5)))
            return version
        }
    }

    @Test("secrets come back as they were, sorted by name, newest value only")
    func roundTrip() async throws {
        try await withFunction { records, function async throws in
            #expect(try await set(key, 1, records, function) == 1)
            #expect(try await set(other, 2, records, function) == 1)
            #expect(try await set(key, 3, records, function) == 2)
            let stored = try await records.read { try $0.secrets(of: function.id) }
            #expect(stored.map(\.name) == [other, key])
            #expect(stored.map(\.version) == [1, 2])
            #expect(stored.map(\.sealed) == [[2, 0, 2], [3, 0, 3]])
        }
    }

    @Test("versions only grow, also over a delete")
    func versions() async throws {
        try await withFunction { records, function async throws in
            for wanted in 1...3 { #expect(try await set(key, 1, records, function) == wanted) }
            #expect(try await records.write { try $0.deleteSecret(key, of: function.id) })
            #expect(try await records.read { try $0.secrets(of: function.id) }.isEmpty)
            #expect(try await set(key, 1, records, function) == 4)
        }
    }

    @Test("a version that was taken but not stored is not given again in the same database")
    func abandoned() async throws {
        try await withFunction { records, function async throws in
            _ = try await records.write { try $0.nextSecretVersion(key, of: function.id) }
            #expect(try await set(key, 1, records, function) == 2)
        }
    }

    @Test("deleting says whether there was one")
    func delete() async throws {
        try await withFunction { records, function async throws in
            #expect(try await !records.write { try $0.deleteSecret(key, of: function.id) })
            _ = try await set(key, 1, records, function)
            #expect(try await records.write { try $0.deleteSecret(key, of: function.id) })
            #expect(try await !records.write { try $0.deleteSecret(key, of: function.id) })
        }
    }

    @Test("a secret needs a function")
    func orphan() async throws {
        try await withRecords { records async throws in
            await #expect(throws: (any Error).self) {
                try await records.write { transaction in
                    try transaction.put(
                        SealedSecret(functionId: FunctionId(), name: key, version: 1, sealed: [1], updated: Timestamp(milliseconds: 5)))
                }
            }
        }
    }

    @Test("a deleted value is nowhere in the file any more")
    func overwritten() async throws {
        try await withFolder { folder async throws in
            let path = folder + "/casemate.db"
            let sealed = Array("sealed-value-that-must-go-away".utf8)
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            do {
                let records = try Records(path: path)
                try await records.write { transaction in
                    try transaction.insert(namespace)
                    try transaction.insert(function)
                    try transaction.put(
                        SealedSecret(functionId: function.id, name: key, version: 1, sealed: sealed, updated: Timestamp(milliseconds: 5)))
                }
            }
            try sqlite(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            #expect(contains(try contents(path), sealed))
            do {
                let records = try Records(path: path)
                try await records.write { try $0.delete(function) }
            }
            try sqlite(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            #expect(!contains(try contents(path), sealed))
        }
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        String(decoding: bytes, as: Unicode.ASCII.self).contains(String(decoding: part, as: Unicode.ASCII.self))
    }

    private func set(fingerprint: String, length: Int = 10, _ records: Records, _ function: Function) async throws {
        try await records.write { transaction in
            let version = try transaction.nextSecretVersion(key, of: function.id)
            try transaction.put(
                SealedSecret(
                    functionId: function.id, name: key, version: version, sealed: [UInt8](repeating: 1, count: length),
                    fingerprint: fingerprint, weaknesses: [], updated: Timestamp(milliseconds: 1000)))
        }
    }

    @Test("what a secret was before is kept once for each value, newest first")
    func former() async throws {
        try await withFunction { records, function async throws in
            for fingerprint in ["a", "b", "b", "a", "c"] { try await set(fingerprint: fingerprint, records, function) }
            let former = try await records.read { try $0.formerSecrets(of: function.id) }.map(\.secret)
            #expect(former.map(\.fingerprint) == ["a", "b"])
            #expect(former.map(\.version) == [4, 3])
        }
    }

    @Test("of values that are too many or too long together the oldest go", arguments: [(250, 10, 200), (20, 65_600, 7)])
    func most(count: Int, length: Int, kept: Int) async throws {
        try await withFunction { records, function async throws in
            for number in 0...count { try await set(fingerprint: "\(number)", length: length, records, function) }
            let former = try await records.read { try $0.formerSecrets(of: function.id) }.map(\.secret.version)
            #expect(former == Array((count - kept + 1...count).reversed()))
            #expect(try await records.write { try $0.deleteSecret(key, of: function.id) })
            #expect(try await records.read { try $0.formerSecrets(of: function.id) }.count == kept)
        }
    }

    @Test("the others of a function are counted with their length")
    func size() async throws {
        try await withFunction { records, function async throws in
            _ = try await set(key, 1, records, function)
            _ = try await set(other, 1, records, function)
            let size = try await records.read { try $0.sizeOfSecrets(of: function.id, besides: key) }
            #expect(size.count == 1 && size.bytes == 3)
        }
    }
}
