import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Functions and revisions as they are stored")
struct FunctionRecordsTests {
    private func withFunction(_ body: (Records, Namespace, Function) async throws -> Void) async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
            }
            try await body(records, namespace, function)
        }
    }

    @Test("a function comes back as it was, by its name and by its id")
    func roundTrip() async throws {
        try await withFunction { records, namespace, function async throws in
            #expect(try await records.read { try $0.function(function.name) } == function)
            #expect(try await records.read { try $0.function(function.id) } == function)
            #expect(try await records.read { try $0.functions() } == [function])
            #expect(try await records.read { try $0.functions(in: namespace.id) } == [function])
            #expect(try await records.read { try $0.function(FunctionId()) } == nil)
        }
    }

    @Test("the same name in another namespace is another function")
    func namespaces() async throws {
        try await withFunction { records, _, function async throws in
            let other = Namespace.made("other")
            let twin = Function.made("resize", in: other)
            try await records.write { transaction in
                try transaction.insert(other)
                try transaction.insert(twin)
            }
            #expect(try await records.read { try $0.function(twin.name) } == twin)
            #expect(try await records.read { try $0.functions() } == [twin, function])
            #expect(try await records.read { try $0.functions(in: other.id) } == [twin])
        }
    }

    @Test("a name is taken once per namespace, and a function needs a namespace")
    func constraints() async throws {
        try await withFunction { records, namespace, _ async throws in
            await #expect(throws: (any Error).self) { try await records.write { try $0.insert(Function.made("resize", in: namespace)) } }
            await #expect(throws: (any Error).self) {
                try await records.write { try $0.insert(Function.made("x", in: Namespace.made("none"))) }
            }
            #expect(try await records.read { try $0.functions() }.count == 1)
        }
    }

    @Test("a revision comes back as it was, newest first")
    func revisions() async throws {
        try await withFunction { records, _, function async throws in
            let revisions = [Revision.made(1, of: function), .made(2, of: function)]
            try await records.write { transaction in for revision in revisions { try transaction.insert(revision) } }
            #expect(try await records.read { try $0.revisions(of: function.id) } == revisions.reversed())
            #expect(try await records.read { try $0.revision(revisions[0].id) } == revisions[0])
            await #expect(throws: (any Error).self) { try await records.write { try $0.insert(Revision.made(2, of: function)) } }
        }
    }

    @Test("activating moves the pointer and nothing else")
    func activate() async throws {
        try await withFunction { records, _, function async throws in
            let revision = Revision.made(1, of: function)
            try await records.write { transaction in
                try transaction.insert(revision)
                try transaction.activate(revision.id, of: function.id, at: Timestamp(milliseconds: 7000))
            }
            var wanted = function
            wanted.activeRevision = revision.id
            wanted.updated = Timestamp(milliseconds: 7000)
            #expect(try await records.read { try $0.function(function.id) } == wanted)
        }
    }

    @Test("revisions are numbered from 1, per function")
    func numbers() async throws {
        try await withFunction { records, namespace, function async throws in
            #expect(try await records.read { try $0.nextRevisionNumber(of: function.id) } == 1)
            let other = Function.made("other", in: namespace)
            try await records.write { transaction in
                try transaction.insert(other)
                for number in 1...3 { try transaction.insert(Revision.made(number, of: function)) }
            }
            #expect(try await records.read { try $0.nextRevisionNumber(of: function.id) } == 4)
            #expect(try await records.read { try $0.nextRevisionNumber(of: other.id) } == 1)
        }
    }

    @Test("a bundle and a source are in use while a revision has them")
    func used() async throws {
        try await withFunction { records, _, function async throws in
            try await records.write { try $0.insert(Revision.made(1, of: function, bundle: "b1", source: "s1")) }
            #expect(try await records.read { try $0.isBundleUsed("b1") })
            #expect(try await records.read { try !$0.isBundleUsed("s1") })
            #expect(try await records.read { try $0.isSourceUsed("s1") })
            #expect(try await records.read { try !$0.isSourceUsed("b1") })
            try await records.write { try $0.delete(function) }
            #expect(try await records.read { try !$0.isBundleUsed("b1") })
        }
    }

    @Test("a deleted function takes its revisions, secrets and tokens along, and no one else's")
    func cascade() async throws {
        try await withFunction { records, namespace, function async throws in
            let other = Function.made("other", in: namespace)
            try await records.write { transaction in
                try transaction.insert(other)
                for owner in [function, other] {
                    try transaction.insert(Revision.made(1, of: owner))
                    let name = try #require(VariableName("KEY"))
                    let version = try transaction.nextSecretVersion(name, of: owner.id)
                    try transaction.put(
                        SealedSecret(functionId: owner.id, name: name, version: version, sealed: [1], updated: Timestamp(milliseconds: 1)))
                }
                try transaction.insert(StoredCredential.token(namespace, function, hash: 1))
                try transaction.insert(StoredCredential.token(namespace, other, hash: 2))
                try transaction.insert(StoredCredential.token(namespace, hash: 3))
                try transaction.delete(function)
            }
            #expect(try await records.read { try $0.revisions(of: function.id) }.isEmpty)
            #expect(try await records.read { try $0.secrets(of: function.id) }.isEmpty)
            #expect(try await records.read { try $0.revisions(of: other.id) }.count == 1)
            #expect(try await records.read { try $0.secrets(of: other.id) }.count == 1)
            #expect(Set(try await records.read { try $0.credentials() }.map { $0.hash[0] }) == [2, 3])
        }
    }
}
