import CasemateModel
import Testing

@testable import CasemateDeploy

@Suite("source: {git: …}")
struct ManifestGitTests {
    static let commit = String(repeating: "0a", count: 20)

    private func parse(_ git: String) throws(ManifestError) -> FunctionManifest {
        try ManifestParser.parse(
            "functions:\n  a:\n    source: {git: \(git)}\n    runtime: python3.11\n    handler: handler.handle\n", file: "casemate.yaml"
        ).functions[0]
    }

    private func faults(_ git: String) -> [String] {
        do throws(ManifestError) {
            _ = try parse(git)
            return []
        } catch { return error.diagnostics.map(\.what) }
    }

    @Test("a repository stands in the spec, and no folder is uploaded")
    func accepted() throws {
        let function = try parse("{url: https://git.example.com/plant/code.git, ref: \(Self.commit), folder: ./functions//a/}")
        var expected = GitSource(url: "https://git.example.com/plant/code.git", ref: Self.commit)
        expected.folder = "functions/a"
        #expect(function.spec.git == expected && function.source == nil && expected.isPinned)
    }

    @Test("what is at its default is not written, so that the spec is the same")
    func defaults() throws {
        let function = try parse(
            "{url: https://git.example.com/plant/code.git, ref: main, folder: ., submodules: false, history: false}")
        #expect(function.spec.git == GitSource(url: "https://git.example.com/plant/code.git", ref: "main"))
    }

    @Test("ssh wants a key of its own and the host's keys")
    func ssh() throws {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"
        let function = try parse(
            "{url: 'ssh://git@git.example.com:2222/code.git', ref: v1.0, credentials: DEPLOY_KEY, hostKeys: ['\(key) a comment']}")
        #expect(function.spec.git?.hostKeys == [key])
        #expect(
            faults("{url: ssh://git@git.example.com/code.git, ref: main}") == [
                "source.git has no hostKeys, by which an ssh host is known", "source.git has no credentials; ssh wants a private key",
            ])
        #expect(faults("{url: https://git.example.com/code.git, ref: main, hostKeys: ['\(key)']}").count == 1)
        #expect(
            faults("{url: ssh://git@git.example.com/code.git, ref: main, credentials: KEY, hostKeys: [hunter2]}").first
                == "\"hunter2\" is no host key")
    }

    @Test(
        "a URL with more than one spelling, or of another transport, is refused",
        arguments: [
            "http://git.example.com/code.git", "git://git.example.com/code.git", "file:///etc/passwd", "https://git.example.com",
            "https://git.example.com/", "https://git.example.com/a/../b", "https://git.example.com/a//b",
            "https://git.example.com/%2e%2e/b",
            "https://Git.example.com/code.git", "https://git.example.com/code.git?x=1", "https://git.example.com/code.git#x",
            "https://10.0.0.1/code.git", "https://git.example.com:0/code.git", "https://git.example.com/-code.git",
            "ssh://git.example.com/code.git", "ssh://-oProxyCommand=x@git.example.com/code.git", "git@git.example.com:plant/code.git",
            "ext::sh -c id", "--upload-pack=id", "https://git.example.com/a b",
        ])
    func transports(url: String) { #expect(GitRemote(url) == nil && !faults("{url: '\(url)', ref: main}").isEmpty) }

    @Test("credentials in a URL are refused and not shown")
    func credentials() {
        let told = faults("{url: 'https://u:hunter2@git.example.com/code.git', ref: main}")
        #expect(told == ["source.git.url holds credentials"])
    }

    @Test(
        "names that git has no reference for",
        arguments: ["-x", "a..b", "a b", "a~1", "a^", "a:b", "@{1}", "a/.b", "a.lock", "/a", "a/", "@"])
    func references(ref: String) { #expect(faults("{url: https://git.example.com/code.git, ref: '\(ref)'}").count == 1) }

    @Test("folders below the repository alone", arguments: ["../x", "/etc", "a/../../b"])
    func folders(folder: String) {
        #expect(faults("{url: https://git.example.com/code.git, ref: main, folder: '\(folder)'}").count == 1)
    }

    @Test("a policy names repositories, or all below a path")
    func policy() {
        let policy = GatePolicy(repositories: ["https://git.example.com/plant/", "https://git.example.com/other/code.git"])
        #expect(policy.mayFetch(from: "https://git.example.com/plant/code.git"))
        #expect(policy.mayFetch(from: "https://git.example.com/other/code.git"))
        for url in [
            "https://git.example.com/plant/", "https://git.example.com/plants/code.git", "https://git.example.com/other/code.git2",
            "https://git.example.com.evil.example/plant/code.git",
        ] { #expect(!policy.mayFetch(from: url)) }
        #expect(!GatePolicy().mayFetch(from: "https://git.example.com/plant/code.git"))
        #expect(policy.loosened(from: GatePolicy()) == ["repositories"] && GatePolicy().loosened(from: policy).isEmpty)
    }
}
