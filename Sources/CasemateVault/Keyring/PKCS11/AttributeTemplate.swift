import CP11Kit

/// Attributes for a PKCS#11 call, with the memory that they point to. Nothing in it is secret.
struct AttributeTemplate {
    private var types: [UInt] = []
    private var values: [[UInt8]] = []
    /// What the token answered: the length of each, or nothing.
    private var lengths: [Int?] = []

    mutating func add(_ type: UInt, _ value: [UInt8]) {
        types.append(type)
        values.append(value)
        lengths.append(value.count)
    }

    /// CK_BBOOL.
    mutating func add(_ type: UInt, _ value: Bool) { add(type, [value ? 1 : 0]) }

    /// CK_ULONG.
    mutating func add(_ type: UInt, _ value: UInt) { add(type, withUnsafeBytes(of: value) { Array($0) }) }

    /// Calls with the attributes; what the token writes into them can be read afterwards.
    mutating func with<R, E: Error>(_ body: (UnsafeMutablePointer<ck_attribute>, UInt) throws(E) -> R) throws(E) -> R {
        // Each begins where a CK_ULONG may: libraries read it in place.
        let offsets = values.reduce(into: [0]) { $0.append(($0.last! + $1.count + 7) & ~7) }
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: offsets.last! + 8, alignment: 8)
        defer { room.deallocate() }
        var attributes: [ck_attribute] = []
        for (index, value) in values.enumerated() {
            let part = UnsafeMutableRawBufferPointer(rebasing: room[offsets[index]..<offsets[index] + value.count])
            part.copyBytes(from: value)
            attributes.append(ck_attribute(type: types[index], value: part.baseAddress, value_len: UInt(value.count)))
        }
        let result = try attributes.withUnsafeMutableBufferPointer { (all) throws(E) -> R in
            try body(all.baseAddress!, UInt(all.count))
        }
        for index in attributes.indices {
            let length = Int(truncatingIfNeeded: attributes[index].value_len)
            guard length >= 0, length <= values[index].count, let value = attributes[index].value else {
                lengths[index] = nil
                continue
            }
            lengths[index] = length
            values[index].replaceSubrange(0..<length, with: UnsafeRawBufferPointer(start: value, count: length))
        }
        return result
    }

    /// The value at a position; nothing when the token didn't tell it.
    func bytes(_ position: Int) -> [UInt8]? { lengths[position].map { Array(values[position].prefix($0)) } }

    func word(_ position: Int) -> UInt? {
        guard let bytes = bytes(position), bytes.count == MemoryLayout<UInt>.size else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt.self) }
    }
}
