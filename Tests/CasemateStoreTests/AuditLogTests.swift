import CasemateModel
import Foundation
import Synchronization
import Testing

@testable import CasemateStore

@Suite("The audit log")
struct AuditLogTests {
    private let plant = Namespace.made("plant")

    private func withLog(_ body: (AuditLog, String) async throws -> Void) async throws {
        try await withFolder { folder in
            let log = try AuditLog(folder: folder + "/audit", publicKey: [1, 2, 3])
            defer { log.close() }
            try await body(log, folder + "/audit")
        }
    }

    private func records(_ folder: String, after: UInt64 = 0) throws -> [AuditRecord] {
        try AuditReader(folder: folder).read(after: after, limit: .max) { _ in true }.records
    }

    @Test("begins with its id, and numbers what follows without a gap, each record bound to the one before")
    func chain() async throws {
        try await withLog { log, folder in
            for number in 0..<20 { try log.append([AuditEvent(.secretSet, plant.auditScope, ["secret": "S\(number)"])]) }
            let all = try records(folder)
            #expect(all.map(\.sequence) == Array(1...21))
            #expect(all[0].kind == "audit.begun")
            #expect(all[0].previous == AuditChain.beginning)
            #expect(all[1].namespace == "plant")
            #expect(all[1].namespaceId == plant.id.text)
            var verifier = AuditVerifier()
            for file in AuditFiles.all(in: folder) {
                try AuditFiles.eachLine(of: file.path) {
                    verifier.take($0); return true
                }
            }
            verifier.finish()
            #expect(verifier.findings == [])
            #expect(verifier.hash == log.head.hash)
            #expect(verifier.chain == all[0].details?["chain"])
        }
    }

    @Test("goes on where it was after a restart, and mends a line that a crash broke off")
    func reopened() async throws {
        try await withFolder { folder in
            for round in 0..<3 {
                let log = try AuditLog(folder: folder, publicKey: [1])
                try log.append([AuditEvent(.serverStarted, ["round": "\(round)"])])
                log.close()
                let file = try #require(FileHandle(forWritingAtPath: "\(folder)/audit-0000000001.jsonl"))
                try file.seekToEnd()
                file.write(Data(#"{"hash":"00"#.utf8))
                try file.close()
            }
            let last = try AuditLog(folder: folder, publicKey: [1])
            defer { last.close() }
            #expect(try records(folder).map(\.kind) == ["audit.begun", "server.started", "server.started", "server.started"])
            #expect(last.head.sequence == 4)
        }
    }

    @Test("is written by one process at a time, and not begun anew over one that can't be read")
    func refused() async throws {
        try await withLog { _, folder in
            #expect(throws: AuditFailure.self) { try AuditLog(folder: folder, publicKey: [1]) }
        }
        try await withFolder { folder in
            try Data("not a record\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/audit-0000000001.jsonl"))
            let error = #expect(throws: AuditFailure.self) { try AuditLog(folder: folder, publicKey: [1]) }
            guard case .damaged? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test(
        "that can't be written takes nothing, and says so; it recovers by itself",
        arguments: ["removed", "replaced", "read-only", "written to by another"])
    func unwritable(how: String) async throws {
        try await withLog { log, folder in
            let path = "\(folder)/audit-0000000001.jsonl"
            let manager = FileManager.default
            try log.append([AuditEvent(.serverStarted, [:])])
            let before = log.head
            switch how {
            case "removed": try manager.moveItem(atPath: path, toPath: path + ".away")
            case "replaced":
                try manager.moveItem(atPath: path, toPath: path + ".away")
                #expect(manager.createFile(atPath: path, contents: nil))
            // Root may write whatever the mode says; the log holds to the mode.
            case "read-only": try manager.setAttributes([.posixPermissions: 0o400], ofItemAtPath: path)
            default:
                let file = try #require(FileHandle(forWritingAtPath: path))
                try file.seekToEnd()
                file.write(Data("x".utf8))
                try file.close()
            }
            #expect(throws: AuditFailure.self) { try log.append([AuditEvent(.secretSet, ["secret": "A"])]) }
            #expect(!log.isWritable)
            #expect(log.head == before)
            switch how {
            case "removed": try manager.moveItem(atPath: path + ".away", toPath: path)
            case "replaced":
                try manager.removeItem(atPath: path)
                try manager.moveItem(atPath: path + ".away", toPath: path)
            case "read-only": try manager.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            default:
                let file = try #require(FileHandle(forWritingAtPath: path))
                try file.truncate(atOffset: try file.seekToEnd() - 1)
                try file.close()
            }
            try log.append([AuditEvent(.secretSet, ["secret": "B"])])
            #expect(log.isWritable)
            #expect(try records(folder).compactMap { $0.details?["secret"] } == ["B"])
        }
    }

    @Test("writes what many append at once, all of it, in groups")
    func groups() async throws {
        try await withLog { log, folder in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 { group.addTask { try? await log.append(AuditEvent(.secretSet, ["n": "\(number)"])) } }
            }
            let all = try records(folder, after: 1)
            #expect(Set(all.compactMap { $0.details?["n"] }).count == 200)
            #expect(log.head.sequence == 201)
        }
    }

    @Test("tells of each record once it is written")
    func told() async throws {
        try await withLog { log, _ in
            let heard = Mutex<[String]>([])
            log.onWritten { records in heard.withLock { $0 += records.map(\.kind) } }
            try log.append([AuditEvent(.secretSet, [:]), AuditEvent(.secretDeleted, [:])])
            #expect(heard.withLock { $0 } == ["secret.set", "secret.deleted"])
        }
    }

    @Test("cuts what is long, so that no request fills it")
    func cut() async throws {
        try await withLog { log, folder in
            var details: [String: String] = [:]
            for number in 0..<100 { details["key\(number)"] = String(repeating: "ü\n\u{0}", count: 10_000) }
            try log.append([AuditEvent(.requestRefused, details)])
            let file = try contents("\(folder)/audit-0000000001.jsonl")
            #expect(file.count < 64_000)
            #expect(file.split(separator: 10).count == 2)
        }
    }

    @Test("pages and tails as they are asked for")
    func reading() async throws {
        try await withLog { log, folder in
            for number in 0..<500 { try await log.append(AuditEvent(number % 5 == 0 ? .secretSet : .secretUsed, ["n": "\(number)"])) }
            let reader = AuditReader(folder: folder)
            let page = try reader.read(after: 100, limit: 3) { $0.kind == "secret.set" }
            #expect(page.records.compactMap { $0.details?["n"] } == ["100", "105", "110"])
            #expect(try reader.read(after: page.last, limit: 1) { $0.kind == "secret.set" }.records.first?.details?["n"] == "115")
            #expect(
                try reader.tail(2, head: log.head.sequence) { $0.kind == "secret.set" }.compactMap { $0.details?["n"] } == ["490", "495"])
            #expect(try reader.tail(3, head: log.head.sequence) { _ in true }.map(\.sequence) == [499, 500, 501])
            #expect(try reader.tail(10, head: log.head.sequence) { _ in false }.isEmpty)
            var position = 0
            var bytes: [UInt8] = []
            while true {
                let part = try reader.bytes(from: position, most: 1000)
                if part.isEmpty { break }
                bytes += part
                position += part.count
            }
            #expect(bytes == (try contents("\(folder)/audit-0000000001.jsonl")))
        }
    }
}

@Suite("What is observed")
struct AuditLimitsTests {
    private let event = AuditEvent(.authFailed, .platform, source: "192.0.2.7")

    @Test("is kept up to a number of the same kind, and the rest is counted")
    func limits() {
        var limits = AuditLimits()
        let kept = (0..<1000).count { _ in limits.take(event, at: 1) }
        #expect(kept == 50)
        // A second later there is room for ten.
        let later = (0..<1000).count { _ in limits.take(event, at: 1_000_000_001) }
        #expect(later == 10)
        let early = limits.counted(at: 1_500_000_000)
        #expect(early.isEmpty, "there may be more of them")
        let counted = limits.counted(at: 2_000_000_001)
        #expect(counted.map(\.details) == [["kind": "auth.failed", "number": "1940"]])
        #expect(counted.map(\.source) == ["192.0.2.7"] && counted.map(\.kind) == [.auditSuppressed])
        let again = limits.counted(at: nil)
        #expect(again.isEmpty)
    }

    @Test("and goes on is counted each minute")
    func goingOn() {
        var limits = AuditLimits()
        var counted = 0
        for tenth: UInt64 in 0..<1250 {
            for _ in 0..<5 { _ = limits.take(event, at: tenth * 100_000_000) }
            counted += limits.counted(at: tenth * 100_000_000).count
        }
        #expect(counted == 2)
        let rest = limits.counted(at: nil)
        #expect(rest.count == 1)
    }

    @Test("of one place takes no room from another's")
    func places() {
        var limits = AuditLimits()
        for _ in 0..<1000 { _ = limits.take(event, at: 1) }
        let other = limits.take(AuditEvent(.authFailed, .platform, source: "192.0.2.8"), at: 1)
        let otherKind = limits.take(AuditEvent(.egressDenied, .platform, source: "192.0.2.7"), at: 1)
        #expect(other && otherKind)
    }

    @Test("of very many places is bounded, too")
    func many() {
        var limits = AuditLimits()
        var kept = 0
        for number in 0..<30_000 where limits.take(AuditEvent(.authFailed, .platform, source: "\(number)"), at: 1) { kept += 1 }
        #expect(kept <= 10_050)
    }
}
