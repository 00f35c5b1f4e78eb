import NIOCore
import Testing

@testable import CasemateInvoke

@Suite("A request's body on its way")
struct RequestBodyTests {
    private func bytes(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 7, count: count) }

    @Test("a whole body is there at once, and nothing follows")
    func whole() {
        let body = RequestBody(whole: bytes(10))
        #expect(body.isComplete && body.length == 10)
        var more = 0
        #expect(
            body.begin { _ in
                more += 1
                return true
            }?.readableBytes == 10)
        body.abort()
        #expect(!body.isAborted && more == 0)
        #expect(RequestBody(whole: nil).begin { _ in true } == nil)
    }

    @Test("until an instance takes it, a little is kept and then the sender is stopped")
    func waits() {
        var reads: [Bool] = []
        let body = RequestBody(start: bytes(65_536), length: 300_000) { reads.append($0) }
        body.push(bytes(60_000))
        #expect(reads.isEmpty)
        body.push(bytes(10_000))
        #expect(reads == [false])
        var handed: [Int] = []
        let start = body.begin {
            handed.append($0.readableBytes)
            return handed.count < 2
        }
        #expect(start?.readableBytes == 135_536 && reads == [false, true])
        body.push(bytes(4))
        body.push(bytes(6))
        #expect(handed == [4, 6] && reads == [false, true, false])
        body.resume()
        body.resume()
        #expect(reads == [false, true, false, true])
        body.push(bytes(164_454))
        #expect(body.isComplete)
    }

    @Test("with the last part the sender may go on, whether or not an instance has taken it")
    func goesOn() {
        for parts in [[1], [65_537], [65_536, 65_537], [70_000, 70_000]] {
            var reads: [Bool] = []
            let body = RequestBody(start: bytes(65_535), length: 65_535 + parts.reduce(0, +)) { reads.append($0) }
            for part in parts { body.push(bytes(part)) }
            #expect(body.isComplete && reads.last != false)
        }
        var reads: [Bool] = []
        let full = RequestBody(start: bytes(65_536), length: 65_546) { reads.append($0) }
        _ = full.begin { _ in false }
        full.push(bytes(10))
        #expect(reads.last == true)
    }

    @Test("a sender that goes away is told to whoever has begun, once")
    func abort() {
        let body = RequestBody(start: bytes(10), length: 20) { _ in }
        _ = body.begin { _ in true }
        var told = 0
        body.onAbort = { told += 1 }
        body.abort()
        body.abort()
        body.push(bytes(10))
        #expect(told == 1 && body.isAborted && !body.isComplete)
    }
}
