/// `$ref`, to a schema in the same document. Where it leads back to itself through the data, that ends with the data.
extension SchemaCompiler {
    /// Schemas that look at the same value one within the other.
    private static let mostInPlace = 64

    /// The names on the way to what a reference means: `#/$defs/a~1b%25` (RFC 6901 §6).
    func target(of reference: JSONString) throws(SchemaFault) -> [JSONString] {
        guard reference.utf8.first == UInt8(ascii: "#") else {
            throw fault("leads out of this document", "copy what it refers to under $defs, and write \"#/$defs/name\"")
        }
        guard let pointer = Self.percentDecoded(reference.utf8.dropFirst()) else {
            throw fault("has a % without two hexadecimal digits", "write %25 for the character")
        }
        guard !pointer.isEmpty else { return [] }
        guard pointer.first == UInt8(ascii: "/") else {
            throw fault("refers to an anchor", "refer to the place itself, as in \"#/$defs/name\"")
        }
        var names: [JSONString] = []
        for token in pointer.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard let name = JSONString(pointerToken: token) else {
                throw fault("has a ~ that is neither ~0 nor ~1", "write ~0 for the character")
            }
            names.append(name)
        }
        return names
    }

    private static func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var decoded: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            decoded.append(value)
            rest = rest.dropFirst(2)
        }
        return decoded
    }

    mutating func resolveReferences() throws(SchemaFault) {
        for reference in references {
            guard let index = subschema(at: reference.target) else {
                throw fault(
                    at: reference.path, "leads to no schema in this document", "put the schema under $defs, and write \"#/$defs/name\"")
            }
            subschemas[reference.subschema].rules[reference.rule] = Subschema.Rule(keyword: Keyword.ref.rawValue, test: .ref(index))
        }
    }

    /// Only what is a schema can be referred to, not what stands in an `enum` or under `x-…`.
    private func subschema(at target: [JSONString]) -> Int? {
        var index = 0
        var rest = target[...]
        while let keyword = rest.popFirst() {
            if let direct = places[index][Place(keyword: keyword, name: nil)] {
                index = direct
            } else if let name = rest.popFirst(), let named = places[index][Place(keyword: keyword, name: name)] {
                index = named
            } else {
                return nil
            }
        }
        return index
    }

    /// A schema that asks for itself about the same value would never answer; one that asks through very many would take too deep a stack.
    func refuseLoops() throws(SchemaFault) {
        var search = LoopSearch(subschemas: subschemas, most: Self.mostInPlace)
        for index in subschemas.indices where search.height(of: index) == nil {
            let reference = references.first { search.open.contains($0.subschema) }
            throw fault(
                at: reference?.path ?? [], "leads back to itself, or through more than \(Self.mostInPlace) others, about the same value",
                "refer from within properties or items, or more directly")
        }
    }
}

/// How many schemas look at the same value, from one down. It goes no deeper than the answer may be.
private struct LoopSearch {
    let subschemas: [Subschema]
    let most: Int
    private var heights: [Int?]
    /// Those that are being looked into.
    private(set) var open: [Int] = []

    init(subschemas: [Subschema], most: Int) {
        self.subschemas = subschemas
        self.most = most
        heights = Array(repeating: nil, count: subschemas.count)
    }

    /// Nil where it is more than allowed, as a loop's is.
    mutating func height(of index: Int) -> Int? {
        if let known = heights[index] { return open.count + known <= most ? known : nil }
        guard open.count < most else { return nil }
        open.append(index)
        var height = 1
        for next in subschemas[index].inPlace {
            guard let below = self.height(of: next) else { return nil }
            height = max(height, below + 1)
        }
        open.removeLast()
        heights[index] = height
        return height
    }
}
