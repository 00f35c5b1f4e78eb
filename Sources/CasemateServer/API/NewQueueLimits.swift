import CasemateModel

/// `queue` of a policy's body: what is left out is at its default.
struct NewQueueLimits: Decodable {
    var perFunction: Int?
    var perNamespace: Int?
    var bytes: Int?
    var storedBytes: Int?
    var retentionInHours: Int?

    private enum CodingKeys: String, CodingKey, CaseIterable { case perFunction, perNamespace, bytes, storedBytes, retentionInHours }

    init(from decoder: any Decoder) throws {
        let all = try decoder.container(keyedBy: AnyKey.self)
        if let unknown = all.allKeys.first(where: { key in !CodingKeys.allCases.contains { $0.rawValue == key.stringValue } }) {
            let known = CodingKeys.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw Problem(.invalidRequest, "unknown field \"queue.\(unknown.stringValue.prefix(60))\"; known: \(known)")
        }
        let container = try decoder.container(keyedBy: CodingKeys.self)
        perFunction = try container.decodeIfPresent(Int.self, forKey: .perFunction)
        perNamespace = try container.decodeIfPresent(Int.self, forKey: .perNamespace)
        bytes = try container.decodeIfPresent(Int.self, forKey: .bytes)
        storedBytes = try container.decodeIfPresent(Int.self, forKey: .storedBytes)
        retentionInHours = try container.decodeIfPresent(Int.self, forKey: .retentionInHours)
    }

    /// - Throws: `.invalidRequest` naming the field.
    var limits: QueueLimits {
        get throws(Problem) {
            var limits = QueueLimits()
            limits.perFunction = try number(perFunction, "perFunction", QueueLimits.countRange) ?? limits.perFunction
            limits.perNamespace = try number(perNamespace, "perNamespace", QueueLimits.countRange) ?? limits.perNamespace
            limits.bytes = try number(bytes, "bytes", QueueLimits.bytesRange) ?? limits.bytes
            limits.storedBytes = try number(storedBytes, "storedBytes", QueueLimits.bytesRange) ?? limits.storedBytes
            limits.retentionInHours =
                try number(retentionInHours, "retentionInHours", QueueLimits.retentionRange) ?? limits.retentionInHours
            return limits
        }
    }

    private func number(_ value: Int?, _ name: String, _ range: ClosedRange<Int>) throws(Problem) -> Int? {
        if let value, !range.contains(value) {
            throw Problem(.invalidRequest, "queue.\(name): \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }
}
