import CasemateModel
import Foundation

/// `source: {git: …}`: which repository, what of it, and how it is known to be the right one.
extension ManifestReader {
    private static let gitKeys = ["url", "ref", "folder", "credentials", "hostKeys", "submodules", "history"]
    private static let mostHostKeys = 10

    mutating func gitSource(_ field: Field) -> GitSource? {
        let before = faults.errorCount
        guard let fields = fields(of: field.node, at: Place(field), known: ["git"]),
            let git = required("git", in: fields, line: field.line, of: "source", example: "a folder: source: ./hello"),
            let parts = self.fields(of: git.node, at: Place(git), known: Self.gitKeys)
        else { return nil }
        let urlField = required("url", in: parts, line: git.line, of: git.path, example: "url: https://git.example.com/plant/code.git")
        let refField = required("ref", in: parts, line: git.line, of: git.path, example: "ref: with a commit's whole id, or a branch")
        let (asked, name) = (urlField.flatMap { remote($0) }, refField.flatMap { reference($0) })
        guard let remote = asked, let ref = name else { return nil }
        var source = GitSource(url: remote.url, ref: ref)
        if let folder = parts["folder"], let path = text(folder), isRelativePath(path, folder, example: "functions/anomaly") {
            let plain = path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
            source.folder = plain.isEmpty ? nil : plain
        }
        if let secret = parts["credentials"], let name = text(secret) {
            source.credentials = variableName(name, line: secret.line, noun: "secret")
        }
        source.hostKeys = parts["hostKeys"].flatMap { hostKeys($0) }
        source.submodules = parts["submodules"].flatMap { choice($0, of: ["true", "false"]) } == "true" ? true : nil
        source.history = parts["history"].flatMap { choice($0, of: ["true", "false"]) } == "true" ? true : nil
        checkTransport(remote.transport, source, parts, git)
        return faults.errorCount == before ? source : nil
    }

    private mutating func remote(_ field: Field) -> (url: String, transport: GitRemote.Transport)? {
        // A URL may hold a password.
        guard let url = text(field, isSensitive: true) else { return nil }
        if let remote = GitRemote(url) { return (url, remote.transport) }
        if URLComponents(string: url)?.password != nil || url.hasPrefix("https://") && URLComponents(string: url)?.user != nil {
            faults.error(
                field.line, "\(field.path) holds credentials", fix: "name a secret with user:password instead: credentials: GIT_CREDENTIALS"
            )
        } else {
            faults.error(
                field.line, "\(field.path) is no https:// or ssh:// URL of a repository",
                fix: "write it as https://git.example.com/plant/code.git, or ssh://git@git.example.com/plant/code.git")
        }
        return nil
    }

    /// By git's own rules for names (git-check-ref-format); what it stands for is found out when it is fetched.
    private mutating func reference(_ field: Field) -> String? {
        guard let text = text(field) else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isName =
            (1...200).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 32 && $0 < 127 && !"~^:?*[\\".utf8.contains($0) }
            && !text.contains("..") && !text.contains("@{") && text != "@" && !text.hasPrefix("-") && !text.hasSuffix(".")
            && parts.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") && !$0.hasSuffix(".lock") }
        if isName { return text }
        faults.error(
            field.line, "\(field.path) \(Wording.quoted(text)) is no commit, branch or tag",
            fix: "write a commit's 40 or 64 hexadecimal digits; a branch is taken as it is when it is deployed")
        return nil
    }

    private mutating func hostKeys(_ field: Field) -> [String]? {
        guard let items = items(field, example: "[\"ssh-ed25519 AAAA…\"]") else { return nil }
        if items.isEmpty || items.count > Self.mostHostKeys {
            faults.error(field.line, "\(field.path) has no entry, or more than \(Self.mostHostKeys)", fix: "list the host's keys")
        }
        return items.prefix(Self.mostHostKeys).compactMap { item in
            guard let text = text(Field(path: field.path, keyLine: item.line, node: item)) else { return nil }
            let parts = text.split(separator: " ")
            guard parts.count >= 2, parts[0].hasPrefix("ssh-") || parts[0].hasPrefix("ecdsa-"), text.utf8.count <= 2000,
                Data(base64Encoded: String(parts[1])) != nil
            else {
                faults.error(
                    item.line, "\(Wording.quoted(text)) is no host key",
                    fix: "write it as the host's operator tells it, like \"ssh-ed25519 AAAA…\"")
                return nil
            }
            return "\(parts[0]) \(parts[1])"
        }
    }

    private mutating func checkTransport(_ transport: GitRemote.Transport, _ source: GitSource, _ parts: Fields, _ git: Field) {
        switch transport {
        case .https:
            guard let field = parts["hostKeys"] else { return }
            faults.error(field.line, "\(field.path) is for ssh; an https host has a certificate", fix: "remove it")
        case .ssh:
            if parts["hostKeys"] == nil {
                faults.error(
                    git.line, "\(git.path) has no hostKeys, by which an ssh host is known",
                    fix: "add them, as the host's operator tells them: hostKeys: [\"ssh-ed25519 AAAA…\"]")
            }
            if parts["credentials"] == nil {
                faults.error(
                    git.line, "\(git.path) has no credentials; ssh wants a private key",
                    fix: "name a secret that has it: credentials: DEPLOY_KEY")
            }
        }
    }
}
