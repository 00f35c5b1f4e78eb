import Foundation
import Synchronization

@testable import CasemateAWS

/// A server on loopback that answers bytes as they are, right or wrong.
final class StubServer: Sendable {
    enum Step: Sendable {
        case send([UInt8])
        case wait(Duration)
        /// Ends the connection; without it the next request is read.
        case close
    }

    struct Request: Sendable {
        /// From 1, over all connections.
        let number: Int
        let head: String
    }

    let port: UInt16
    private let listener: Int32
    private let respond: @Sendable (Request) -> [Step]
    private let state = Mutex((requests: 0, connections: Set<Int32>(), accepted: 0, isStopped: false))

    /// - Parameter port: 0 for a free one.
    init(port: UInt16 = 0, _ respond: @escaping @Sendable (Request) -> [Step]) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.respond = respond
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard bound else { throw POSIXError(.init(rawValue: errno) ?? .EINVAL) }
        self.port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { self.accept() }
    }

    convenience init(port: UInt16 = 0, always answer: String) throws {
        try self.init(port: port) { _ in [.send(Array(answer.utf8)), .close] }
    }

    var endpoint: Endpoint { try! Endpoint("http://127.0.0.1:\(port)") }
    var requests: Int { state.withLock { $0.requests } }
    var accepted: Int { state.withLock { $0.accepted } }

    func stop() {
        let open = state.withLock { state in
            state.isStopped = true
            return state.connections
        }
        shutdown(listener, Int32(SHUT_RDWR))
        for connection in open { shutdown(connection, Int32(SHUT_RDWR)) }
    }

    private func accept() {
        while true {
            let connection = Glibc.accept(listener, nil, nil)
            let isOver = state.withLock { state in
                if connection >= 0 {
                    state.connections.insert(connection)
                    state.accepted += 1
                }
                return state.isStopped
            }
            if isOver || connection < 0 {
                if connection >= 0 { close(connection) }
                close(listener)
                return
            }
            Thread.detachNewThread { self.serve(connection) }
        }
    }

    private func serve(_ connection: Int32) {
        defer {
            _ = state.withLock { $0.connections.remove(connection) }
            close(connection)
        }
        var bytes: [UInt8] = []
        while let head = readRequest(connection, &bytes) {
            let number = state.withLock { state in
                state.requests += 1
                return state.requests
            }
            for step in respond(Request(number: number, head: head)) {
                switch step {
                case .send(let bytes):
                    var sent = 0
                    while sent < bytes.count {
                        let count = bytes[sent...].withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                        guard count > 0 else { return }
                        sent += count
                    }
                case .wait(let length):
                    let end = ContinuousClock.now + length
                    while ContinuousClock.now < end, !state.withLock({ $0.isStopped }) { usleep(10_000) }
                case .close: return
                }
            }
        }
    }

    /// The head of one request, whose body is read and dropped.
    private func readRequest(_ connection: Int32, _ bytes: inout [UInt8]) -> String? {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let found = bytes.firstRange(of: end) {
                let head = String(decoding: bytes[..<found.lowerBound], as: UTF8.self)
                let length =
                    head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
                    .flatMap { Int($0.drop { $0 != " " }.dropFirst()) } ?? 0
                if bytes.count >= found.upperBound + length {
                    bytes.removeFirst(found.upperBound + length)
                    return head
                }
            }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            bytes += chunk[..<count]
        }
    }
}

/// An answer with the right length.
func http(_ status: String, _ body: String, headers: String = "") -> [UInt8] {
    Array("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)".utf8)
}
