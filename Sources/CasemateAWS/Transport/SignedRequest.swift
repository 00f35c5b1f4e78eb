/// One request that libcurl signs (AWS Signature Version 4).
///
/// libcurl 7.88.1 signs path, query and headers as they are written, where the rule is to bring them into one form first. So this can
/// only be written in that form: the path has unreserved characters and slashes, the query is encoded and sorted here, and the headers
/// are of a closed set.
struct SignedRequest: Sendable {
    enum Method: String, Sendable { case get = "GET", head = "HEAD", put = "PUT", post = "POST", delete = "DELETE" }

    /// In small letters. No name is the beginning of another one: libcurl sorts whole lines, and ':' comes after '-' and the digits.
    enum Header: String, CaseIterable, Sendable {
        case contentType = "content-type"
        case ifNoneMatch = "if-none-match"
        /// S3 asks for it and libcurl 7.88.1 doesn't add it, but takes it as the body's hash.
        case contentSHA256 = "x-amz-content-sha256"
        case target = "x-amz-target"
    }

    let method: Method
    let endpoint: Endpoint
    /// Begins with a slash.
    let path: String
    /// What is sent after `?`, or nothing.
    let query: String
    let headers: [(Header, String)]
    let body: SensitiveBytes?
    let region: Region
    /// The service's name in the signature: `kms`, `secretsmanager`, `s3`.
    let service: String
    /// A larger answer is an error. In bytes.
    var mostAnswerInBytes = 1 << 20
    /// Whether doing it twice is the same as once.
    var mayBeRepeated = true
    /// What a PUT sends, in the place of `body`.
    var file: FileBody?
    /// Where an object goes in the place of the answer's body. What is no object, such as a refusal's text, stands there all the same.
    var sink: (any ObjectSink)?
    /// For the whole call; nil for the client's own.
    var timeout: Duration?

    /// - Throws: `.malformed` for a path or a header that could be signed otherwise than it is sent.
    init(
        _ method: Method, _ endpoint: Endpoint, path: String = "/", query: [String: String] = [:], headers: [Header: String] = [:],
        body: SensitiveBytes? = nil, region: Region, service: String
    ) throws(AWSError) {
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ Characters.isUnreserved($0) || $0 == UInt8(ascii: "/") }) else {
            throw .malformed("the request's path has characters beyond letters, digits and -._~/")
        }
        var headers = headers
        // Else libcurl adds one of its own, unsigned.
        if method == .put || method == .post, headers[.contentType] == nil { headers[.contentType] = "application/octet-stream" }
        for (header, value) in headers {
            // Empty, libcurl would sign the header and leave it out.
            guard (1...1024).contains(value.utf8.count), value.utf8.first != 32, value.utf8.last != 32,
                value.utf8.allSatisfy({ Characters.isVisible($0) || $0 == 32 })
            else { throw .malformed("the value for \(header.rawValue) has characters that no header may have") }
        }
        self.method = method
        self.endpoint = endpoint
        self.path = path
        self.query = Self.encoded(query)
        self.headers = headers.map { ($0.key, $0.value) }
        self.body = body
        self.region = region
        self.service = service
    }

    /// Whether an object passes through: that may take long, if only it goes on.
    var isStreamed: Bool { file != nil || sink != nil }

    var url: String { "\(endpoint)\(path)\(query.isEmpty ? "" : "?\(query)")" }

    /// Names and values percent-encoded but for unreserved characters, in the order of the encoded names (SigV4, "Create a canonical
    /// request": CanonicalQueryString).
    private static func encoded(_ query: [String: String]) -> String {
        query.map { (encoded($0.key), encoded($0.value)) }
            .sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
            .map { "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }

    private static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            if Characters.isUnreserved(byte) {
                out.append(byte)
            } else {
                out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
