/// Whatever a shim says is wrong becomes a fault with a plain code; one in our form says the same again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzShimFaults(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let fault = ShimFault(meta: bytes(data, count))
    precondition(!fault.code.isEmpty && fault.code.utf8.allSatisfy { $0 == UInt8(ascii: "-") || (97...122).contains($0) })
    precondition(fault.file?.isEmpty != true)
    let line = fault.line.map(String.init) ?? ""
    precondition(ShimFault(meta: Array("\(fault.code)\0\(fault.file ?? "")\0\(line)\0\(fault.message)".utf8)) == fault)
    return 0
}
