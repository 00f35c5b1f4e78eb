import CasemateModel

extension InputSchemas {
    /// What a schedule's calls bring besides their input.
    private static let fields = ["content-type", "x-request-id", "casemate-schedule", "casemate-scheduled-time", "casemate-attempt"]

    /// Why a schedule's calls would be refused, in a sentence and with the place in the input; nil where they would not.
    /// - Throws: for a text that is no schema.
    public func refusal(ofSchedule input: [UInt8]) throws(SchemaFault) -> (what: String, pointer: String?)? {
        func compiled(_ part: Part) throws(SchemaFault) -> InputSchema? {
            guard let text = self[part]?.text else { return nil }
            return try InputSchema(Array(text.utf8))
        }
        if let violation = try compiled(.body)?.refusal(ofJSON: input, atMost: Schedule.mostInputBytes) {
            return (violation.told(of: "the input"), violation.pointer)
        }
        if let violation = try compiled(.query)?.check(parameters: []) {
            return (violation.told(of: "the query, of which a schedule has none,"), nil)
        }
        if let schema = try compiled(.headers) {
            let fields = Self.fields.map { ($0, $0 == "content-type" ? "application/json" : "") }
            // What they will be is not known.
            if let violation = schema.check(parameters: fields), violation.keyword == "required" {
                return (violation.told(of: "the headers of a schedule's calls"), nil)
            }
        }
        return nil
    }
}
