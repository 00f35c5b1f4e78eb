import CasemateDeploy
import CasemateModel
import Synchronization

/// How far deployments under way are, for the clients that wait for them: by an id that a client chooses, and for nobody else.
final class DeploymentProgress: Sendable {
    struct Line: Encodable, Sendable, Equatable {
        var function: String?
        /// `build`, `scan`, … begins.
        var stage: String?
        /// A check of the gate is done.
        var check: String?
        var findings: Int?
        var milliseconds: Int?
    }

    private struct Key: Hashable {
        let identity: String
        let id: String
    }

    private static let most = 1000
    private static let mostLines = 2000
    private let lines: Mutex<[Key: [Line]]> = Mutex([:])

    /// - Throws: `.invalidRequest` for an id that this client has in use; `.rateLimited` with too many deployments under way.
    func begin(_ id: String, by identity: String) throws(Problem) -> DeployProgress.Teller {
        let key = Key(identity: identity, id: id)
        let refusal: Problem? = lines.withLock { lines in
            guard lines[key] == nil else { return Problem(.invalidRequest, "id: another deployment of yours has it") }
            guard lines.count < Self.most else {
                return Problem(.rateLimited, "too many deployments are under way", retryAfterSeconds: 5)
            }
            lines[key] = []
            return nil
        }
        if let refusal { throw refusal }
        return { [weak self] progress in self?.add(Line(progress), key) }
    }

    private func add(_ line: Line, _ key: Key) {
        lines.withLock { lines in if let count = lines[key]?.count, count < Self.mostLines { lines[key]?.append(line) } }
    }

    func end(_ id: String, by identity: String) { _ = lines.withLock { $0.removeValue(forKey: Key(identity: identity, id: id)) } }

    /// Those after the first `after`; nil where no such deployment is under way.
    func lines(of id: String, by identity: String, after: Int) -> [Line]? {
        lines.withLock { lines in lines[Key(identity: identity, id: id)].map { Array($0.dropFirst(after)) } }
    }
}

extension DeploymentProgress.Line {
    init(_ progress: DeployProgress) {
        switch progress {
        case .stage(let stage, let function): self.init(function: function.description, stage: stage)
        case .check(let done): self.init(check: done.check, findings: done.findings, milliseconds: done.milliseconds)
        }
    }
}

struct ProgressView: Encodable, Sendable { var lines: [DeploymentProgress.Line] }
