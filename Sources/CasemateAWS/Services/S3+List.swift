extension S3 {
    /// Some of the objects in a bucket, in the order of their keys.
    public struct Page: Hashable, Sendable {
        public struct Entry: Hashable, Sendable {
            public let key: S3Key
            public let sizeInBytes: Int
        }

        public let entries: [Entry]
        /// Objects of this page whose keys have characters that `S3Key` doesn't take.
        public let skipped: Int
        /// To be given for the next page; nil when this is the last.
        public let continuation: String?
    }

    /// - Parameter prefix: the keys' beginning, as text: `a` finds `a/b` and `ab`.
    /// - Parameter most: entries in a page, 1000 at most.
    /// - Throws: `AWSError`, or `CancellationError`. Source: S3 API reference, ListObjectsV2.
    public func list(bucket: S3Bucket, prefix: String = "", after continuation: String? = nil, most: Int = 1000) async throws -> Page {
        // With encoding-type=url, keys have no characters that XML would write otherwise.
        var query = ["list-type": "2", "encoding-type": "url", "max-keys": String(most)]
        if !prefix.isEmpty { query["prefix"] = prefix }
        query["continuation-token"] = continuation
        let answer = try await client.send(try request(.get, bucket, nil, query: query))
        return try answer.body.withBytes(Self.page)
    }

    private static func page(_ bytes: UnsafeRawBufferPointer) throws(AWSError) -> Page {
        let notAList = AWSError.malformed("the answer to ListObjectsV2 is no list of objects")
        var document = ElementScanner(bytes)
        guard var list = document.inside("ListBucketResult") else { throw notAList }
        var head = list
        guard let isTruncated = head.text(of: "IsTruncated"), ["true", "false"].contains(isTruncated) else { throw notAList }
        var tokens = list
        let continuation = tokens.text(of: "NextContinuationToken")
        guard isTruncated == "false" || continuation != nil else { throw notAList }
        var entries: [Page.Entry] = []
        var skipped = 0
        while var contents = list.inside("Contents") {
            var sizes = contents
            guard let key = contents.text(of: "Key"), let size = sizes.text(of: "Size").flatMap({ Int($0) }), size >= 0 else {
                throw notAList
            }
            // Slashes may come encoded or not; nothing else that we take does.
            if let key = S3Key(key.split(separator: "%2F", omittingEmptySubsequences: false).joined(separator: "/")) {
                entries.append(Page.Entry(key: key, sizeInBytes: size))
            } else {
                skipped += 1
            }
        }
        return Page(entries: entries, skipped: skipped, continuation: isTruncated == "true" ? continuation : nil)
    }
}
