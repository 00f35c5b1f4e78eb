import CasemateModel
import Foundation

/// What the gate's tools answer. Read apart from functions that await: together they end Swift 6.3.1's optimiser.
public enum GateReply {
    struct Report: Sendable {
        let findings: [Diagnostic]
        let components: [Component]
    }

    @inline(never)
    static func scan(_ bytes: [UInt8]) throws -> Report {
        struct Body: Decodable {
            var findings: [Finding]
            var components: [Component]
        }
        let body = try decode(Body.self, bytes)
        return Report(findings: body.findings.map(\.diagnostic), components: body.components)
    }

    @inline(never)
    static func findings(_ bytes: [UInt8]) throws -> [Diagnostic] {
        struct Body: Decodable { var findings: [Finding] }
        return try decode(Body.self, bytes).findings.map(\.diagnostic)
    }

    /// What a repository's history holds.
    @inline(never)
    static func history(_ bytes: [UInt8]) throws -> [Diagnostic] {
        struct Body: Decodable { var history: [Finding] }
        return try decode(Body.self, bytes).history.map(\.diagnostic)
    }

    /// What the checks found without a server: a line of theirs with a result.
    @inline(never)
    public static func local(_ bytes: [UInt8]) throws -> [Diagnostic] {
        struct Line: Decodable { var result: Result }
        struct Result: Decodable { var findings: [Finding] }
        return try decode(Line.self, bytes).result.findings.map(\.diagnostic)
    }

    /// What locking a folder has come to.
    @inline(never)
    public static func lock(_ bytes: [UInt8]) throws -> LockReport {
        struct Line: Decodable { var result: Result }
        struct Result: Decodable {
            var lock: String
            var total: Int
            var packages: [LockReport.Package]
            var lines: [LockReport.Line]
            var fixed, left: [Finding]
        }
        let result = try decode(Line.self, bytes).result
        return LockReport(
            lock: result.lock, total: result.total, packages: result.packages, lines: result.lines, fixed: result.fixed.map(\.diagnostic),
            left: result.left.map(\.diagnostic))
    }

    /// By the keys that were asked with.
    @inline(never)
    static func findingsByKey(_ bytes: [UInt8]) throws -> [String: [Diagnostic]] {
        struct Body: Decodable { var findings: [String: [Finding]] }
        return try decode(Body.self, bytes).findings.mapValues { $0.map(\.diagnostic) }
    }

    @inline(never)
    static func progress(_ bytes: [UInt8]) -> CheckProgress {
        (try? JSONDecoder().decode(CheckProgress.self, from: Data(bytes))) ?? CheckProgress(check: "?", findings: 0, milliseconds: 0)
    }

    private static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) throws -> T {
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw Problem(.gateFailed, "the checks answered something that is no answer")
        }
    }

    /// As `casemate_gate/findings.py` writes it.
    private struct Finding: Decodable {
        var id: FindingId
        var check, rule, file, what, fix: String
        var severity: FindingDetail.Level
        var line: Int?
        var guarantee, enforcedBy, package, fixed: String?

        var diagnostic: Diagnostic {
            Diagnostic(
                severity.blocks ? .error : .warning, file: file, line: line, what: what, fix: fix,
                finding: FindingDetail(
                    id: id, check: check, rule: rule, level: severity, guarantee: guarantee, enforcedBy: enforcedBy, package: package,
                    fixed: fixed))
        }
    }
}

/// What became of a source folder's lock.
public struct LockReport: Encodable, Sendable {
    /// A version that changes; nil before for one that is new, nil after for one that is gone.
    public struct Package: Codable, Sendable {
        public var name: String
        public var before, after: String?
    }

    /// A line of the author's own that was rewritten.
    public struct Line: Codable, Sendable {
        public var file: String
        public var line: Int
        public var before, after: String
    }

    /// The lock's file.
    public var lock: String
    /// How many packages it has.
    public var total: Int
    public var packages: [Package]
    public var lines: [Line]
    /// Advisories that end, and those that stay.
    public var fixed, left: [Diagnostic]
}

/// One of the gate's checks is done.
public struct CheckProgress: Codable, Sendable {
    public var check: String
    public var findings: Int
    public var milliseconds: Int
}
