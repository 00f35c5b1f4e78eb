/// The keywords of JSON Schema 2020-12 that are taken, in the order in which they are checked: cheap ones first.
enum Keyword: String, CaseIterable, Sendable {
    case type, `enum`, const
    case minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf
    case minLength, maxLength, pattern
    case minItems, maxItems, minProperties, maxProperties, required, dependentRequired
    case properties, patternProperties, additionalProperties, propertyNames
    case prefixItems, items, minContains, maxContains, contains, uniqueItems
    case ref = "$ref"
    case allOf, anyOf, oneOf, not, dependentSchemas
    case `if`, then, `else`

    /// Hold schemas to refer to. `definitions` is the old name, which 2020-12's own meta-schema still has.
    case defs = "$defs"
    case definitions
    /// Say what the schema is; at its root alone.
    case schema = "$schema"
    case id = "$id"

    /// Annotations: they say something to people and tools, and no value breaks them (2020-12 validation §7.2.1, §8, §9).
    case comment = "$comment"
    case title, description, `default`, examples, deprecated, readOnly, writeOnly
    case format, contentEncoding, contentMediaType, contentSchema

    /// For a schema that is `false` there is no keyword.
    static let never = "false"

    static let dialect = "https://json-schema.org/draft/2020-12/schema"

    /// Keywords of other drafts and of OpenAPI, and those of 2020-12 that are not taken: what to write instead.
    static let refused: [String: String] = [
        "$anchor": "refer to the place itself, as in \"#/$defs/name\"",
        "$dynamicAnchor": "refer to the place itself, as in \"#/$defs/name\"",
        "$dynamicRef": "use $ref",
        "$recursiveAnchor": "leave it out, and use \"$ref\": \"#\"",
        "$recursiveRef": "use \"$ref\": \"#\"",
        "$vocabulary": "leave it out: it belongs into a meta-schema",
        "unevaluatedProperties": "use additionalProperties, beside all of the properties",
        "unevaluatedItems": "use items, beside all of the prefixItems",
        "additionalItems": "use prefixItems for the first items, and items for the rest",
        "dependencies": "use dependentRequired for names, and dependentSchemas for schemas",
        "divisibleBy": "use multipleOf",
        "disallow": "use not",
        "extends": "use allOf",
        "id": "use $id",
        "nullable": "add \"null\" to type",
        "example": "use examples, a list",
        "discriminator": "leave it out: oneOf finds the one that matches, by a const in each",
        "optional": "use required, the list of those that are not",
    ]

    /// What to do about a keyword that is not known: the nearest one, else all of them.
    static func fix(for word: String) -> String {
        if let instead = refused[word] { return instead }
        let known = allCases.map(\.rawValue)
        let best = known.map { (distance: distance(word, $0), name: $0) }.min { $0.distance < $1.distance }
        if let best, best.distance <= 2, best.distance < best.name.utf8.count { return "did you mean \(best.name)?" }
        return "known are \(known.sorted().joined(separator: ", ")), and names that begin with x-"
    }

    /// Insertions, deletions and substitutions (Levenshtein), in lower case. Many for a long word.
    private static func distance(_ left: String, _ right: String) -> Int {
        guard left.utf8.count <= 40 else { return .max }
        let right = Array(right.lowercased().utf8)
        var row = Array(0...right.count)
        for (i, a) in left.lowercased().utf8.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
            }
        }
        return row[right.count]
    }
}
