/// One packet between serve and warden: version, kind, request number, fields. At most 1,024 bytes.
public struct WardenMessage<Payload: Sendable>: Sendable {
    public var request: UInt32
    public var payload: Payload

    public init(request: UInt32, payload: Payload) {
        self.request = request
        self.payload = payload
    }
}

public let wardenProtocolVersion: UInt8 = 1
public let wardenMessageLimit = 1024
/// Listeners of one order; the descriptors of a reply fit one packet.
public let maximumListenersPerOrder = 64
/// Bundles that one reply names.
public let maximumBundlesPerReply = 30

extension WardenMessage where Payload == Order {
    public func encoded() -> [UInt8] {
        var out = ByteWriter()
        func head(_ kind: UInt8) {
            out.integer(wardenProtocolVersion)
            out.integer(kind)
            out.integer(request)
        }
        switch payload {
        case .create(let profile, let purpose, let limits):
            head(1)
            out.shortString(profile)
            out.integer(purpose.rawValue)
            out.limits(limits)
        case .specialise(let sandbox, let bundle, let limits):
            head(2)
            out.integer(sandbox)
            out.append(bundle.bytes)
            out.limits(limits)
        case .destroy(let sandbox):
            head(3)
            out.integer(sandbox)
        case .collect(let sandbox, let maximumBytes, let maximumFiles):
            head(4)
            out.integer(sandbox)
            out.integer(maximumBytes)
            out.integer(maximumFiles)
        case .removeBundle(let bundle):
            head(5)
            out.append(bundle.bytes)
        case .listBundles(let after):
            head(13)
            // No bundle has a digest of zeros.
            out.append(after?.bytes ?? [UInt8](repeating: 0, count: 32))
        case .hello:
            head(6)
        case .openResolver(let sandbox):
            head(11)
            out.integer(sandbox)
        case .listen(let sandbox, let listeners):
            head(7)
            out.integer(sandbox)
            out.integer(UInt8(min(listeners.count, maximumListenersPerOrder)))
            for listener in listeners.prefix(maximumListenersPerOrder) {
                out.integer(listener.index)
                out.integer(listener.port)
            }
        case .openRange(let sandbox, let range):
            head(12)
            out.integer(sandbox)
            out.integer(range.address)
            out.integer(range.bits)
            out.integer(range.port)
        case .freeze(let sandbox):
            head(8)
            out.integer(sandbox)
        case .thaw(let sandbox):
            head(9)
            out.integer(sandbox)
        case .count(let sandbox):
            head(10)
            out.integer(sandbox)
        }
        return out.bytes
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var input = ByteReader(bytes)
        let (kind, request) = try input.messageHead(length: bytes.count)
        let order: Order
        switch kind {
        case 1:
            let profile = try input.shortString(limit: 32)
            guard let purpose = SandboxPurpose(rawValue: try input.integer()) else { throw .outOfRange }
            order = .create(profile: profile, purpose: purpose, limits: try input.limits())
        case 2:
            let sandbox = try input.integer(UInt32.self)
            order = .specialise(sandbox: sandbox, bundle: try input.digest(), limits: try input.limits())
        case 3: order = .destroy(sandbox: try input.integer())
        case 4:
            let sandbox = try input.integer(UInt32.self)
            let maximumBytes = try input.integer(UInt64.self)
            order = .collect(sandbox: sandbox, maximumBytes: maximumBytes, maximumFiles: try input.integer())
        case 5: order = .removeBundle(try input.digest())
        case 6: order = .hello
        case 7:
            let sandbox = try input.integer(UInt32.self)
            let count = Int(try input.integer(UInt8.self))
            guard count <= maximumListenersPerOrder else { throw .outOfRange }
            var listeners: [InnerListener] = []
            for _ in 0..<count {
                let listener = InnerListener(index: try input.integer(), port: try input.integer())
                guard InnerListener.indices.contains(listener.index), listener.port > 0 else { throw .outOfRange }
                listeners.append(listener)
            }
            order = .listen(sandbox: sandbox, listeners)
        case 8: order = .freeze(sandbox: try input.integer())
        case 9: order = .thaw(sandbox: try input.integer())
        case 10: order = .count(sandbox: try input.integer())
        case 11: order = .openResolver(sandbox: try input.integer())
        case 12:
            let sandbox = try input.integer(UInt32.self)
            let range = InnerRange(address: try input.integer(), bits: try input.integer(), port: try input.integer())
            guard let range else { throw .outOfRange }
            order = .openRange(sandbox: sandbox, range)
        case 13:
            let after = try input.digest()
            order = .listBundles(after: after.bytes.allSatisfy { $0 == 0 } ? nil : after)
        default: throw .unknownKind
        }
        try input.finish()
        self.init(request: request, payload: order)
    }
}

extension WardenMessage where Payload == Reply {
    public func encoded() -> [UInt8] {
        var out = ByteWriter()
        func head(_ kind: UInt8) {
            out.integer(wardenProtocolVersion)
            out.integer(kind)
            out.integer(request)
        }
        switch payload {
        case .created(let sandbox, let hostUID):
            head(1)
            out.integer(sandbox)
            out.integer(hostUID)
        case .done: head(2)
        case .collected(let bundle, let files, let bytes):
            head(3)
            out.append(bundle.bytes)
            out.integer(files)
            out.integer(bytes)
        case .hello(let instance, let cgroupVersion):
            head(4)
            out.shortString(instance)
            out.integer(cgroupVersion)
        case .refused(let code, let detail):
            head(5)
            out.integer(code.rawValue)
            out.shortString(detail)
        case .ended(let sandbox, let reason, let status):
            head(6)
            out.integer(sandbox)
            out.integer(reason.rawValue)
            out.integer(UInt32(bitPattern: status))
        case .attempted(let sandbox, let call):
            head(7)
            out.integer(sandbox)
            out.integer(call)
        case .frozen(let memory):
            head(8)
            out.integer(memory)
        case .bundles(let bundles):
            head(10)
            out.integer(UInt8(min(bundles.count, maximumBundlesPerReply)))
            for bundle in bundles.prefix(maximumBundlesPerReply) { out.append(bundle.bytes) }
        case .counted(let counts):
            head(9)
            out.integer(counts.outOfMemory)
            out.integer(counts.pids)
            out.integer(counts.throttledInMilliseconds)
        }
        return out.bytes
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var input = ByteReader(bytes)
        let (kind, request) = try input.messageHead(length: bytes.count)
        let reply: Reply
        switch kind {
        case 1:
            let sandbox = try input.integer(UInt32.self)
            reply = .created(sandbox: sandbox, hostUID: try input.integer())
        case 2: reply = .done
        case 3:
            let bundle = try input.digest()
            let files = try input.integer(UInt32.self)
            reply = .collected(bundle: bundle, files: files, bytes: try input.integer())
        case 4:
            let instance = try input.shortString()
            reply = .hello(instance: instance, cgroupVersion: try input.integer())
        case 5:
            guard let code = RefusalCode(rawValue: try input.integer()) else { throw .outOfRange }
            reply = .refused(code, detail: try input.shortString())
        case 6:
            let sandbox = try input.integer(UInt32.self)
            guard let reason = EndReason(rawValue: try input.integer()) else { throw .outOfRange }
            reply = .ended(sandbox: sandbox, reason: reason, status: Int32(bitPattern: try input.integer()))
        case 7:
            let sandbox = try input.integer(UInt32.self)
            reply = .attempted(sandbox: sandbox, call: try input.integer())
        case 8: reply = .frozen(memory: try input.integer())
        case 9:
            let outOfMemory = try input.integer(UInt32.self)
            let pids = try input.integer(UInt32.self)
            reply = .counted(
                SandboxCounts(
                    outOfMemory: outOfMemory, pids: pids, throttledInMilliseconds: try input.integer()))
        case 10:
            let count = Int(try input.integer(UInt8.self))
            guard count <= maximumBundlesPerReply else { throw .outOfRange }
            var bundles: [BundleDigest] = []
            for _ in 0..<count { bundles.append(try input.digest()) }
            reply = .bundles(bundles)
        default: throw .unknownKind
        }
        try input.finish()
        self.init(request: request, payload: reply)
    }
}

extension ByteWriter {
    fileprivate mutating func limits(_ limits: SandboxLimits) {
        integer(limits.memoryInBytes)
        integer(limits.cpuInMillicores)
        integer(limits.pids)
        integer(limits.tmpInBytes)
    }
}

extension ByteReader {
    fileprivate mutating func messageHead(length: Int) throws(WireError) -> (kind: UInt8, request: UInt32) {
        guard length <= wardenMessageLimit else { throw .tooLong }
        guard try integer(UInt8.self) == wardenProtocolVersion else { throw .unknownKind }
        let kind = try integer(UInt8.self)
        return (kind, try integer())
    }

    fileprivate mutating func digest() throws(WireError) -> BundleDigest {
        guard let digest = BundleDigest(try take(32)) else { throw .truncated }
        return digest
    }

    fileprivate mutating func limits() throws(WireError) -> SandboxLimits {
        let memory = try integer(UInt64.self)
        let cpu = try integer(UInt32.self)
        let pids = try integer(UInt32.self)
        let limits = SandboxLimits(memoryInBytes: memory, cpuInMillicores: cpu, pids: pids, tmpInBytes: try integer())
        guard limits.isAcceptable else { throw .outOfRange }
        return limits
    }
}
