/// The members of a JSON object, each name once, in the order in which they stand: so the first fault is the same one each time.
public struct JSONObject: Sendable {
    public struct Member: Sendable {
        public let name: JSONString
        public let value: JSONValue
    }

    /// Up to this many names are found faster by looking at each.
    private static let fewMembers = 8

    public let members: [Member]
    private let places: [JSONString: Int]

    /// Nil where a name comes twice: which one counts is anyone's guess (RFC 8259 §4).
    public init?(_ members: [Member]) {
        self.members = members
        guard members.count > Self.fewMembers else {
            places = [:]
            for (at, member) in members.enumerated() where members[..<at].contains(where: { $0.name == member.name }) { return nil }
            return
        }
        var places: [JSONString: Int] = [:]
        places.reserveCapacity(members.count)
        for (at, member) in members.enumerated() where places.updateValue(at, forKey: member.name) != nil { return nil }
        self.places = places
    }

    public subscript(name: JSONString) -> JSONValue? {
        guard members.count > Self.fewMembers else { return members.first { $0.name == name }?.value }
        return places[name].map { members[$0].value }
    }
}

extension JSONObject: Hashable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count && left.members.allSatisfy { right[$0.name] == $0.value }
    }

    /// Without regard to order, as a Dictionary does it.
    public func hash(into hasher: inout Hasher) {
        var sum = 0
        for member in members {
            var own = hasher
            own.combine(member.name)
            own.combine(member.value)
            sum ^= own.finalize()
        }
        hasher.combine(sum)
    }
}
