extension InputSchema {
    /// Why bytes that should be a JSON document are not what the schema says; nil where they are.
    public func refusal(ofJSON bytes: [UInt8], atMost limit: Int) -> Violation? {
        refusal(ofJSON: bytes, atMost: limit, steps: Self.mostSteps)
    }

    /// - Parameter steps: what the check may take; what would take more is told as `isTooCostly`.
    public func refusal(ofJSON bytes: [UInt8], atMost limit: Int, steps: Int) -> Violation? {
        guard !bytes.isEmpty else { return Violation(pointer: "", keyword: "", message: "is empty") }
        do throws(JSONFault) {
            return check(try JSONValue(bytes, atMost: limit), steps: min(steps, Self.mostSteps))
        } catch {
            return Violation(pointer: "", keyword: "", message: "is no JSON: \(error)")
        }
    }
}
