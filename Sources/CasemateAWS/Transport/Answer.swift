/// What a service answered, whatever its status.
struct Answer: Sendable {
    /// Those that are kept of the answer's headers.
    enum Header: String, CaseIterable, Sendable {
        case errorType = "x-amzn-errortype"
        case contentType = "content-type"
        case contentLength = "content-length"
        case etag = "etag"
    }

    let status: Int
    /// Visible ASCII and blanks, of 1024 characters at most; others are left out.
    let headers: [Header: String]
    let body: SensitiveBytes
}
