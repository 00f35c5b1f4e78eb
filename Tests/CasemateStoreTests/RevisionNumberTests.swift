import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Numbers of revisions")
struct RevisionNumberTests {
    @Test("a number is not used twice, also when the newest revision was removed")
    func neverTwice() async throws {
        try await withFolder { folder async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            do {
                let records = try Records(path: folder + "/casemate.db")
                try await records.write { transaction in
                    try transaction.insert(namespace)
                    try transaction.insert(function)
                    for number in 1...3 { try transaction.insert(Revision.made(number, of: function)) }
                }
            }
            try sqlite(folder + "/casemate.db", "DELETE FROM revisions WHERE number = 3")
            let records = try Records(path: folder + "/casemate.db")
            #expect(try await records.read { try $0.nextRevisionNumber(of: function.id) } == 4)
        }
    }
}
