import CasemateModel
import Testing

@testable import CasemateDeploy

@Suite("A lock's packages")
struct LockTests {
    @Test("are read from pip's form, and what changes is told by name and version")
    func change() {
        let before =
            "# casemate lock 1\n# inputs sha256:00\nidna==3.4 \\\n    --hash=sha256:aa\nsix==1.16.0 ; python_version < \"4\" \\\n    --hash=sha256:bb\n"
        let after = "# casemate lock 1\nidna==3.7 \\\n    --hash=sha256:cc\nsix==1.16.0 \\\n    --hash=sha256:bb\n"
        #expect(Lock.packages(before) == ["idna 3.4", "six 1.16.0"])
        #expect(Lock.change(from: before, to: after) == ListChange(from: ["idna 3.4"], to: ["idna 3.7"]))
        #expect(Lock.change(from: before, to: before) == nil && Lock.change(from: nil, to: nil) == nil)
        #expect(Lock.change(from: before, to: nil)?.removed == ["idna 3.4", "six 1.16.0"])
    }
}

@Suite("Names of packages")
struct PackagePatternTests {
    @Test("are written as PEP 503 writes them", arguments: [("Foo_Bar", "foo-bar"), ("a.b-_c", "a-b-c"), ("corp-*", "corp-*"), ("X", "x")])
    func names(text: String, expected: String) { #expect(PackageSources.pattern(text) == expected) }

    @Test("nothing else is one", arguments: ["", "*", "-a", "a-", "a b", "a/b", "a**", "ä"])
    func others(text: String) { #expect(PackageSources.pattern(text) == nil) }
}
