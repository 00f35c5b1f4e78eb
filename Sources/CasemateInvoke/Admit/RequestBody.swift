import NIOCore

/// A request's body: whole, or with a rest that is still on its way. Lives on the gateway's event loop.
///
/// What is short is taken whole before an instance is asked for, so that a slow sender holds none. What is long is handed on as it comes,
/// no faster than the function takes it.
package final class RequestBody {
    /// From here on a body is handed on while it comes.
    package static let streamedFrom = 65_536

    /// In bytes, of all of it.
    package let length: Int
    private var waiting: ByteBuffer?
    private var missing: Int
    private var sink: ((ByteBuffer) -> Bool)?
    /// Stops and resumes whoever sends.
    private let setReading: (Bool) -> Void
    private var isReading = true
    /// The sender went away, or was too slow, before all was here.
    private(set) var isAborted = false
    /// Told when that happens after the body was handed on in part.
    var onAbort: (() -> Void)?

    /// A body that is here.
    package init(whole: ByteBuffer?) {
        length = whole?.readableBytes ?? 0
        waiting = whole
        missing = 0
        setReading = { _ in }
    }

    /// The first part of a longer one.
    package init(start: ByteBuffer, length: Int, setReading: @escaping (Bool) -> Void) {
        self.length = length
        waiting = start
        missing = length - start.readableBytes
        self.setReading = setReading
    }

    package var isComplete: Bool { missing == 0 }

    /// All of it, without taking it; nil while a rest is on its way.
    var whole: ByteBuffer? { isComplete && sink == nil ? waiting ?? ByteBuffer() : nil }

    /// The next part from the sender.
    package func push(_ bytes: ByteBuffer) {
        guard !isAborted else { return }
        missing -= bytes.readableBytes
        if let sink {
            hold(sink(bytes))
        } else {
            var bytes = bytes
            if waiting == nil { waiting = bytes } else { waiting?.writeBuffer(&bytes) }
            // Until an instance is there, no more than this is kept.
            if (waiting?.readableBytes ?? 0) >= 2 * Self.streamedFrom { hold(false) }
        }
        // After the last part the connection is read on, for what follows the body.
        if isComplete { hold(true) }
    }

    package func abort() {
        guard !isComplete, !isAborted else { return }
        isAborted = true
        onAbort?()
        onAbort = nil
    }

    /// What is here, for the first frame; whatever comes later goes to `sink`, which answers whether it takes more.
    func begin(_ sink: @escaping (ByteBuffer) -> Bool) -> ByteBuffer? {
        defer { waiting = nil }
        if !isComplete {
            self.sink = sink
            hold(true)
        }
        return waiting
    }

    /// The function takes more again.
    func resume() { hold(true) }

    private func hold(_ reads: Bool) {
        guard reads != isReading else { return }
        isReading = reads
        setReading(reads)
    }
}
