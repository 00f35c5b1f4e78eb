import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Namespaces as they are stored")
struct NamespaceRecordsTests {
    @Test("a namespace comes back as it was, by its name alone")
    func roundTrip() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            try await records.write { try $0.insert(namespace) }
            #expect(try await records.read { try $0.namespace(namespace.name) } == namespace)
            #expect(try await records.read { try $0.namespace(NamespaceName(unchecked: "tea")) } == nil)
        }
    }

    @Test("namespaces come in the order of their names")
    func order() async throws {
        try await withRecords { records async throws in
            try await records.write { transaction in for name in ["b", "c", "a"] { try transaction.insert(Namespace.made(name)) } }
            #expect(try await records.read { try $0.namespaces() }.map(\.name.text) == ["a", "b", "c"])
        }
    }

    @Test("a name is taken once")
    func conflict() async throws {
        try await withRecords { records async throws in
            try await records.write { try $0.insert(Namespace.made("team")) }
            await #expect(throws: Problem(.conflict, "")) { try await records.write { try $0.insert(Namespace.made("team")) } }
        }
    }

    @Test("a namespace with a function in it stays, an empty one goes with its tokens")
    func delete() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
                try transaction.insert(StoredCredential.token(namespace, hash: 1))
            }
            await #expect(throws: Problem(.conflict, "")) { try await records.write { try $0.delete(namespace) } }
            #expect(try await records.read { try $0.credentials() }.count == 1)
            try await records.write { transaction in
                try transaction.delete(function)
                try transaction.delete(namespace)
            }
            #expect(try await records.read { try $0.namespaces() }.isEmpty)
            #expect(try await records.read { try $0.credentials() }.isEmpty)
        }
    }
}
