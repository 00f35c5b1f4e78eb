/// However a stream is cut, its hello reads the same; a name that is found stands in it as it was written.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzClientHellos(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = bytes(data, count)
    var whole = ClientHello()
    whole.feed(input)
    var cut = ClientHello()
    for byte in input { cut.feed([byte]) }
    precondition(whole.reading == cut.reading)
    if case .name(let name) = whole.reading {
        precondition(!name.isEmpty && name.utf8.count < ClientHello.longest && name.utf8.allSatisfy { (33...126).contains($0) })
    }
    return 0
}
