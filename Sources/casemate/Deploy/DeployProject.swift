import CasemateDeploy
import CasemateModel
import Foundation

/// A manifest on this machine, with the sources that it names, packed.
struct DeployProject {
    let manifest: Manifest
    /// The manifest's text, as it is sent.
    let text: String
    /// The manifest's name.
    let file: String
    /// The one that is told, else the manifest's own.
    let namespace: NamespaceName?
    let archives: [(function: FunctionLabel, source: SourceArchive)]

    /// - Parameter path: a folder with a casemate.yaml, or the file itself.
    /// - Throws: `CommandFailure` with every fault.
    init(_ path: String, namespace: NamespaceName?) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CommandFailure("\(path) does not exist", code: 2)
        }
        let file = isFolder.boolValue ? (path as NSString).appendingPathComponent("casemate.yaml") : path
        let folder = (file as NSString).deletingLastPathComponent
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CommandFailure("there is no \(file); casemate deploy takes a folder with a casemate.yaml, or the file", code: 2)
        }
        guard data.count <= 1 << 20 else { throw CommandFailure("\(file): the manifest is larger than 1 MiB", code: 2) }
        guard let text = String(data: data, encoding: .utf8) else {
            throw CommandFailure("\(file): the manifest is not UTF-8 text", code: 2)
        }
        let name = (file as NSString).lastPathComponent
        let manifest: Manifest
        do {
            manifest = try ManifestParser.parse(text, file: name)
        } catch {
            throw CommandFailure(
                "the manifest has \(error.diagnostics.count) fault(s)\n" + error.diagnostics.map { "  \($0)" }.joined(separator: "\n"),
                code: 2)
        }
        var archives: [(function: FunctionLabel, source: SourceArchive)] = []
        for function in manifest.functions {
            // What comes from a repository is fetched by the server.
            guard let path = function.source else { continue }
            archives.append(
                (function.label, try SourceArchive(folder: ((folder.isEmpty ? "." : folder) as NSString).appendingPathComponent(path))))
        }
        self.manifest = manifest
        self.text = text
        self.file = name
        self.namespace = namespace ?? manifest.namespace
        self.archives = archives
    }

    /// What whoever deploys puts their signature under, one for each function.
    var statements: [DeploymentStatement] {
        get throws {
            guard let namespace else {
                throw CommandFailure("what is signed names its namespace: add namespace: NAME to the manifest, or use --namespace", code: 2)
            }
            return try manifest.functions.map { function in
                let source: DeploymentStatement.Source
                if let git = function.spec.git {
                    guard git.isPinned else {
                        throw CommandFailure(
                            "\(function.label): a branch or a tag can't be signed for, as it may be another commit tomorrow; give ref as the whole id of a commit",
                            code: 2)
                    }
                    source = .commit(url: git.url, id: git.ref)
                } else {
                    source = .archive(archives.first { $0.function == function.label }?.source.digest ?? "")
                }
                return DeploymentStatement(
                    function: FunctionName(namespace: namespace, function: function.label), manifest: text, source: source)
            }
        }
    }
}
