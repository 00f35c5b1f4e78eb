import CasemateModel

/// A question at the gateway about a call that was accepted before: `/calls/ID`, `/calls/ID/result`.
package struct CallInquiry: Equatable {
    let id: CallId
    let wantsResult: Bool
    /// Seconds in which the call may still end.
    let wait: Int

    static let prefix = "/calls/"

    /// Nil for what is no such question.
    /// - Throws: `.notFound` for an id that is none.
    init?(_ uri: String) throws(Problem) {
        guard uri.hasPrefix(Self.prefix) else { return nil }
        let parts = uri.dropFirst(Self.prefix.count).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard let id = CallId(path[0]), path.count == 1 || path.count == 2 && path[1] == "result" else { throw CallLookup.unknown }
        self.id = id
        wantsResult = path.count == 2
        guard parts.count == 2 else {
            wait = 0
            return
        }
        guard parts[1].hasPrefix("wait="), let seconds = Int(parts[1].dropFirst(5)), (0...CallLookup.longestWaitInSeconds).contains(seconds)
        else {
            throw Problem(.invalidRequest, "the query may be wait=SECONDS, of 0 to \(CallLookup.longestWaitInSeconds)")
        }
        wait = seconds
    }
}
