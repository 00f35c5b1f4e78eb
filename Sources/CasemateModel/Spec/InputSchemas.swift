/// What a call has to bring: JSON Schemas (2020-12), each in a file of the source.
public struct InputSchemas: Hashable, Sendable, Codable {
    public var body: File?
    /// Of the query's parameters: an object of texts.
    public var query: File?
    /// Of the header fields that the function gets: an object of texts.
    public var headers: File?

    public init(body: File? = nil, query: File? = nil, headers: File? = nil) {
        self.body = body
        self.query = query
        self.headers = headers
    }

    public struct File: Hashable, Sendable, Codable {
        /// Below the source's folder.
        public var path: String
        /// What stands in it; nil until the source was unpacked.
        public var text: String?

        public init(path: String, text: String? = nil) {
            self.path = path
            self.text = text
        }
    }

    /// A part of a call.
    public enum Part: String, Hashable, Sendable, CaseIterable { case body, query, headers }

    public subscript(part: Part) -> File? {
        get {
            switch part {
            case .body: body
            case .query: query
            case .headers: headers
            }
        }
        set {
            switch part {
            case .body: body = newValue
            case .query: query = newValue
            case .headers: headers = newValue
            }
        }
    }

    /// With the texts of `other`, which was made from the same source, where none are known.
    public func filled(from other: InputSchemas?) -> InputSchemas {
        var copy = self
        for part in Part.allCases where copy[part]?.text == nil && copy[part]?.path == other?[part]?.path { copy[part] = other?[part] }
        return copy
    }
}
