import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1

/// A request as it waits in the queue, and for whom: what the sealed part of a stored call holds.
package struct QueuedRequest {
    package var caller: QueuedCaller
    package var method: HTTPMethod
    package var path: String
    package var query: String
    /// Ready for the function, as they were when the call was accepted.
    package var headers: HTTPHeaders
    package var body: ByteBuffer
    /// How many calls it is behind.
    package var depth: Int

    private static let version: UInt8 = 1

    package init(
        caller: QueuedCaller, method: HTTPMethod, path: String, query: String, headers: HTTPHeaders, body: ByteBuffer, depth: Int
    ) {
        self.caller = caller
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.depth = depth
    }

    /// Each part with its length before it.
    package var encoded: [UInt8] {
        var out = ByteBuffer()
        out.reserveCapacity(body.readableBytes + 1024)
        out.writeInteger(Self.version)
        out.writeInteger(UInt32(depth))
        out.writePart(caller.encoded)
        out.writePart(method.rawValue.utf8)
        out.writePart(path.utf8)
        out.writePart(query.utf8)
        out.writeFields(headers)
        out.writePart(body.readableBytesView)
        return Array(out.readableBytesView)
    }

    /// Nil for what this server did not write.
    package init?(encoded bytes: [UInt8]) {
        var rest = ByteBuffer(bytes: bytes)
        guard rest.readInteger(as: UInt8.self) == Self.version, let depth = rest.readInteger(as: UInt32.self),
            let caller = rest.readPart().flatMap({ QueuedCaller(encoded: Array($0.readableBytesView)) }), let method = rest.readText(),
            let path = rest.readText(), let query = rest.readText(), let headers = rest.readFields(), let body = rest.readPart(),
            rest.readableBytes == 0
        else { return nil }
        self.init(
            caller: caller, method: HTTPMethod(rawValue: method), path: path, query: query, headers: headers, body: body,
            depth: Int(depth))
    }

    /// What makes it the same request when it comes again: not who sent it from where, but what it asks.
    package var identity: [[UInt8]] {
        [
            Array(method.rawValue.utf8), Array(path.utf8), Array(query.utf8), Array((headers.first(name: "content-type") ?? "").utf8),
            Array(body.readableBytesView),
        ]
    }
}

extension ByteBuffer {
    mutating func writePart(_ bytes: some Collection<UInt8>) {
        writeInteger(UInt32(bytes.count))
        writeBytes(bytes)
    }

    mutating func readPart() -> ByteBuffer? {
        guard let length = readInteger(as: UInt32.self) else { return nil }
        return readSlice(length: Int(length))
    }

    mutating func writeFields(_ fields: HTTPHeaders) {
        writeInteger(UInt32(fields.count))
        for (name, value) in fields {
            writePart(name.utf8)
            writePart(value.utf8)
        }
    }

    mutating func readFields() -> HTTPHeaders? {
        guard let count = readInteger(as: UInt32.self), count <= 1024 else { return nil }
        var fields = HTTPHeaders()
        for _ in 0..<count {
            guard let name = readText(), let value = readText() else { return nil }
            fields.add(name: name, value: value)
        }
        return fields
    }

    mutating func readText() -> String? { readPart().map { String(buffer: $0) } }
}
