/// The 16 bytes before every frame between serve and a shim (see PROTOCOL.md).
public struct FrameHeader: Equatable, Sendable {
    public static let size = 16
    /// The longest `meta` a shim may send.
    public static let maximumMetaLength = 65_536

    public enum Kind: UInt8, Sendable {
        case specialise = 0x01, invoke, build, check, scan, invokeIsolated, fetch, verify
        case warm = 0x81, specialised, reply, built, scanned, printed, ready, progress, fetched, verified
    }

    /// What became of a call, in a reply's flags.
    public enum Outcome: UInt8, Sendable {
        case answered = 0, raised, badResult, badRequest
        /// The process of an isolated call ended without an answer.
        case ended
    }

    public var kind: Kind
    public var flags: UInt8
    public var status: UInt16
    public var metaLength: Int
    public var bodyLength: Int
    public var call: UInt32

    public init(kind: Kind, flags: UInt8 = 0, status: UInt16 = 0, metaLength: Int = 0, bodyLength: Int = 0, call: UInt32 = 0) {
        self.kind = kind
        self.flags = flags
        self.status = status
        self.metaLength = metaLength
        self.bodyLength = bodyLength
        self.call = call
    }

    public var encoded: [UInt8] {
        var out = ByteWriter()
        out.integer(UInt32(bodyLength))
        out.integer(kind.rawValue)
        out.integer(flags)
        out.integer(status)
        out.integer(UInt32(metaLength))
        out.integer(call)
        return out.bytes
    }

    /// - Parameter tellsProgress: whether it is one of those sandboxes that say how far they are.
    /// - Throws: `.unknownKind` for a kind that shims don't send, `.tooLong` beyond `maximumBodyLength` or the meta limit.
    public init(
        fromShim fields: (body: UInt32, kind: UInt8, flags: UInt8, status: UInt16, meta: UInt32, call: UInt32), maximumBodyLength: Int,
        tellsProgress: Bool = false
    )
        throws(WireError)
    {
        guard fields.kind & 0x80 != 0, let kind = Kind(rawValue: fields.kind), kind != .progress || tellsProgress else {
            throw .unknownKind
        }
        guard Int(fields.meta) <= Self.maximumMetaLength, Int(fields.body) <= maximumBodyLength else { throw .tooLong }
        self.init(
            kind: kind, flags: fields.flags, status: fields.status, metaLength: Int(fields.meta), bodyLength: Int(fields.body),
            call: fields.call)
    }

    public init(fromShim bytes: [UInt8], maximumBodyLength: Int, tellsProgress: Bool = false) throws(WireError) {
        var input = ByteReader(bytes)
        let body = try input.integer(UInt32.self)
        let kind = try input.integer(UInt8.self)
        let flags = try input.integer(UInt8.self)
        let status = try input.integer(UInt16.self)
        let meta = try input.integer(UInt32.self)
        let call = try input.integer(UInt32.self)
        try input.finish()
        try self.init(
            fromShim: (body, kind, flags, status, meta, call), maximumBodyLength: maximumBodyLength, tellsProgress: tellsProgress)
    }
}
