/// Whatever is taken for an order says the same again when it is encoded, byte for byte.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOrders(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = bytes(data, count)
    guard let message = try? WardenMessage<Order>(decoding: input) else { return 0 }
    let encoded = message.encoded()
    precondition(encoded == input)
    guard let again = try? WardenMessage<Order>(decoding: encoded) else { preconditionFailure("an order of ours is refused") }
    precondition(again.request == message.request && again.payload == message.payload)
    return 0
}
