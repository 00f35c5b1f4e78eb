import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import ServiceLifecycle

/// Who did what: for those who may read it, each the part that concerns what they may read it of.
extension APIServices {
    var auditRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/audit", needs: .right(.auditRead)) { request in
                .json(try await auditPage(request, within: nil))
            },
            APIRoute(.get, "/v1/audit/log", needs: .right(.auditRead)) { request in
                try request.allowQuery(["position"])
                let position = try request.number("position", default: 0, in: 0...Int.max)
                let bytes = try await reading { try $0.bytes(from: position) }
                return .bytes(bytes, contentType: "application/jsonl; charset=utf-8")
            },
            APIRoute(.get, "/v1/audit/checkpoint", needs: .right(.auditRead)) { request in
                try request.allowQuery([])
                return .json(CheckpointView(try checkpoints.now()))
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/audit", needs: .right(.auditRead)) { request in
                let namespace = try await namespace(try request.namespace())
                return .json(try await auditPage(request, within: namespace.id))
            },
        ]
    }

    private static var queryNames: Set<String> { ["after", "tail", "limit", "wait", "kind", "actor", "function", "namespace"] }

    private func auditPage(_ request: APIRequest, within namespace: NamespaceId?) async throws -> AuditPage {
        try request.allowQuery(Self.queryNames)
        let filter = try AuditFilter(request, within: namespace)
        let limit = try request.number("limit", default: 1000, in: 1...10_000)
        if request.query["tail"] != nil {
            let count = try request.number("tail", default: 100, in: 0...10_000)
            let head = audit.head.sequence
            let found = try await reading { try $0.tail(count, head: head, where: filter.accepts) }
            return AuditPage(records: found, cursor: head)
        }
        var after = UInt64(try request.number("after", default: 0, in: 0...Int.max))
        // A function looks; it does not lie in wait.
        let wait = try request.number("wait", default: 0, in: 0...(request.link == nil ? 30 : 0))
        let end = ContinuousClock.now + .seconds(wait)
        var round = 0
        while true {
            let start = after
            // No further than what is on disk for good.
            let head = audit.head.sequence
            let found = try await newer(than: start, upTo: head, limit: limit, filter)
            if !found.records.isEmpty || ContinuousClock.now >= end || Task.isShuttingDownGracefully {
                return AuditPage(records: found.records, cursor: found.last)
            }
            after = found.last
            try await Task.sleep(for: .milliseconds(200))
            round += 1
            if round % 5 == 0 { try await request.stillMay() }
        }
    }

    private func newer(
        than sequence: UInt64, upTo head: UInt64, limit: Int, _ filter: AuditFilter
    ) async throws -> (records: [AuditRecord], last: UInt64) {
        guard head > sequence else { return ([], sequence) }
        return try await reading { try $0.read(after: sequence, upTo: head, limit: limit, where: filter.accepts) }
    }

    /// Files are read on a thread that may block.
    private func reading<T: Sendable>(_ body: @Sendable @escaping (AuditReader) throws -> T) async throws -> T {
        let reader = AuditReader(folder: audit.folder)
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try body(reader) }) }
        }
    }
}

/// Which records are wanted.
private struct AuditFilter: Sendable {
    let namespaceId: String?
    let kinds: [String]
    let actor: String?
    let function: String?
    let namespace: String?

    init(_ request: APIRequest, within namespace: NamespaceId?) throws(Problem) {
        namespaceId = namespace?.text
        actor = request.query["actor"]
        function = request.query["function"]
        self.namespace = request.query["namespace"]
        var kinds: [String] = []
        for text in (request.query["kind"] ?? "").split(separator: ",") {
            // `secret.*`
            let known =
                text.hasSuffix(".*") ? AuditKind.all.filter { $0.text.hasPrefix(text.dropLast(1)) } : AuditKind(text).map { [$0] } ?? []
            guard !known.isEmpty else {
                throw Problem(.invalidRequest, "there is no kind of record \"\(text.prefix(60))\"; docs/audit.md lists them")
            }
            kinds += known.map(\.text)
        }
        self.kinds = kinds
    }

    func accepts(_ record: AuditRecord) -> Bool {
        if let namespaceId, record.namespaceId != namespaceId { return false }
        if let namespace, record.namespace != namespace { return false }
        if let function, record.function != function { return false }
        if let actor, record.actor != actor { return false }
        return kinds.isEmpty || kinds.contains(record.kind)
    }
}

struct AuditPage: Encodable, Sendable {
    var records: [AuditRecord]
    /// Give it back as `after` to go on.
    var cursor: UInt64
}

struct CheckpointView: Encodable, Sendable {
    var checkpoint: AuditCheckpoint
    /// Of the key that signed it: to be compared with the one that was written down when the server was set up.
    var fingerprint: String

    init(_ checkpoint: AuditCheckpoint) {
        self.checkpoint = checkpoint
        fingerprint = checkpoint.fingerprint
    }
}
