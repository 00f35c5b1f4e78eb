/// Fields come apart again as they were put together. Input: any number of tag, length and value.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFields(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var rest = bytes(data, count)[...]
    var fields = ShimFields()
    var wanted: [(UInt8, [UInt8])] = []
    while let first = rest.popFirst(), let length = rest.popFirst() {
        guard let tag = ShimFields.Tag(rawValue: first) else { continue }
        let value = Array(rest.prefix(Int(length)))
        rest = rest.dropFirst(value.count)
        fields.add(tag, value)
        wanted.append((first, value))
    }
    var input = ByteReader(fields.bytes)
    do {
        for (tag, value) in wanted {
            let (found, length) = (try input.integer(UInt8.self), try input.integer(UInt32.self))
            let content = try input.take(Int(length))
            precondition(found == tag && content == value)
        }
        try input.finish()
    } catch {
        preconditionFailure("\(error)")
    }
    return 0
}
