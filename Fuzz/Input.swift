/// The fuzzer's bytes as the decoders take them.
func bytes(_ data: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] { Array(UnsafeBufferPointer(start: data, count: count)) }
