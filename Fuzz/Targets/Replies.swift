/// Whatever is taken for a reply says the same again when it is encoded, byte for byte.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReplies(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = bytes(data, count)
    guard let message = try? WardenMessage<Reply>(decoding: input) else { return 0 }
    let encoded = message.encoded()
    precondition(encoded == input)
    guard let again = try? WardenMessage<Reply>(decoding: encoded) else { preconditionFailure("a reply of ours is refused") }
    precondition(again.request == message.request && again.payload == message.payload)
    return 0
}
