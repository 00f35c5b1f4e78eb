import CasemateModel

/// Looks through a log, line by line from its beginning, for what was changed, removed, added or put elsewhere.
public struct AuditVerifier: Sendable {
    /// What is wrong, with the record's number where it has one.
    public struct Finding: Equatable, Sendable, CustomStringConvertible {
        public let description: String
        init(_ description: String) { self.description = description }
    }

    /// Beyond these nothing new is learnt.
    private static let most = 20

    public private(set) var findings: [Finding] = []
    /// Of the last record that was seen.
    public private(set) var sequence: UInt64 = 0
    public private(set) var hash = AuditChain.beginning
    /// The id in the first record.
    public private(set) var chain: String?
    /// The fingerprint of the key of checkpoints, as the first record names it.
    public private(set) var key: String?
    private var lines = 0
    private var expected: [UInt64: [Expected]] = [:]
    private var last: UInt64 = 0

    private struct Expected: Sendable {
        var hash: String
        var name: String
    }

    public init() {}

    /// - Parameter checkpoints: valid ones of this log: each says which hash a record has.
    public init(checkpoints: [AuditCheckpoint]) {
        for checkpoint in checkpoints {
            expected[checkpoint.sequence, default: []].append(Expected(hash: checkpoint.hash, name: "the checkpoint of \(checkpoint.time)"))
            last = max(last, checkpoint.sequence)
        }
    }

    public mutating func take(_ line: some Collection<UInt8>) {
        lines += 1
        guard let (record, hash, isIntact) = AuditChain.parse(line) else {
            find("line \(lines) is no record of a log (after record \(sequence))")
            return
        }
        guard record.sequence < 1 << 60 else { return find("line \(lines) has a number that no log comes to (after record \(sequence))") }
        if !isIntact { find("record \(record.sequence) was changed: its hash does not fit") }
        if record.sequence > sequence + 1 {
            let gap =
                sequence + 2 == record.sequence ? "record \(sequence + 1) is" : "records \(sequence + 1) to \(record.sequence - 1) are"
            find("\(gap) missing")
        } else if record.sequence <= sequence {
            find("record \(record.sequence) stands after record \(sequence): it was added, or put elsewhere")
        } else if record.previous != self.hash {
            let before = sequence == 0 ? "the beginning of a log" : "record \(sequence)"
            find("record \(record.sequence) does not follow from \(before): one of them was changed or replaced")
        }
        for checkpoint in expected.removeValue(forKey: record.sequence) ?? [] where checkpoint.hash != hash {
            find("record \(record.sequence) is not the one of \(checkpoint.name): the log was written anew up to there")
        }
        if sequence == 0 { (chain, key) = (record.details?["chain"], record.details?["key"]) }
        sequence = record.sequence
        self.hash = hash
    }

    /// To be asked once all lines were taken.
    public mutating func finish() {
        if last > sequence {
            find("the log ends with record \(sequence), though record \(last) has a checkpoint: its end was cut off")
        } else if let missing = expected.keys.min(), findings.isEmpty {
            find("record \(missing) has a checkpoint, and is not there")
        }
    }

    private mutating func find(_ text: String) {
        if findings.count < Self.most { findings.append(Finding(text)) }
    }
}
