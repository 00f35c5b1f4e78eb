/// Whatever is taken for a question is answered with its own id and question; what is not, with a fault or with nothing.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzNameQueries(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = bytes(data, count)
    guard let query = NameQuery(input) else {
        if let fault = NameQuery.fault(of: input) { precondition(fault.count == 12 && fault[0] == input[0] && fault[2] & 0x80 != 0) }
        return 0
    }
    precondition(query.name.utf8.count <= NameQuery.longest)
    for answer in [NameQuery.Answer.address(0x7f42_0001), .nothing, .noSuchName, .failed] {
        let response = query.response(answer)
        precondition(response[0] == input[0] && response[1] == input[1] && response.count <= input.count + 16)
        precondition(Array(response[12..<17]) == Array(input[12..<17]))
    }
    return 0
}
