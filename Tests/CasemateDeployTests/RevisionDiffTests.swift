import CasemateModel
import Foundation
import Testing

@testable import CasemateDeploy

@Suite("What is another in a revision")
struct RevisionDiffTests {
    private static func revision(_ number: Int, source: String = "s", lock: String? = nil) -> Revision {
        Revision(
            id: RevisionId(), functionId: FunctionId(), number: number, bundleDigest: "b", sourceDigest: source, specBytes: [], lock: lock,
            findings: [], created: Timestamp(milliseconds: 1), createdBy: "x")
    }

    private static func diff(_ before: FunctionSpec?, _ after: FunctionSpec, showsSecrets: Bool = true) throws -> [RevisionDiff.Change] {
        try RevisionDiff(before.map { _ in revision(1) }, revision(2), specs: (before, after), showsSecrets: showsSecrets).changes
    }

    private static let spec = FunctionSpec(runtime: "python3.11", handler: "a.b", environment: [VariableName("REGION")!: "north"])

    @Test("what is the same is not told") func same() throws { #expect(try Self.diff(Self.spec, Self.spec).isEmpty) }

    @Test("of variables the names are told, never a value")
    func variables() throws {
        var after = Self.spec
        after.environment = [VariableName("REGION")!: "south-value", VariableName("NEW")!: "new-value"]
        let changes = try Self.diff(Self.spec, after)
        #expect(changes.map(\.path) == ["env.NEW", "env.REGION"])
        #expect(changes.map(\.after) == ["\"set\"", "\"changed\""] && changes.map(\.before) == [nil, "\"set\""])
        var none = Self.spec
        none.environment = [:]
        #expect(try Self.diff(Self.spec, none) == [RevisionDiff.Change(path: "env.REGION", before: "\"set\"", after: nil)])
        let text = String(decoding: try JSONEncoder().encode(changes), as: UTF8.self)
        #expect(!text.contains("value") && !text.contains("north"))
    }

    @Test("each setting that changed is told with both values")
    func settings() throws {
        var after = Self.spec
        after.limits.memoryInBytes = 512 << 20
        after.access = .public
        let changes = try Self.diff(Self.spec, after)
        #expect(changes.map(\.path) == ["access", "limits.memoryInBytes"])
        #expect(changes[0].before == "\"private\"" && changes[0].after == "\"public\"")
    }

    @Test("names of secrets are for whoever may know them")
    func secrets() throws {
        var after = Self.spec
        after.secrets = [VariableName("API_KEY")!]
        #expect(try Self.diff(Self.spec, after).map(\.path) == ["secrets"])
        #expect(try Self.diff(Self.spec, after, showsSecrets: false).isEmpty)
    }

    @Test("of the first one everything is new")
    func first() throws {
        let changes = try Self.diff(nil, Self.spec)
        #expect(changes.allSatisfy { $0.before == nil } && changes.contains { $0.path == "handler" })
    }

    @Test("a lock's hashes are read by package")
    func hashes() {
        let lock = """
            # indexes x
            needy==1.0 \\
                --hash=sha256:aa \\
                --hash=sha256:bb
            plain==2.0 --hash=sha256:cc
            """
        #expect(Lock.hashes(lock) == ["needy": ["aa", "bb"], "plain": ["cc"]])
        #expect(Lock.hashes("").isEmpty)
    }
}
