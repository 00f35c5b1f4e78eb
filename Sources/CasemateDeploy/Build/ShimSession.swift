import CLinux
import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateVault
import CasemateWire
import Dispatch
import Glibc
import Synchronization

/// A sandbox used for one job of a deployment, off the call path: blocking reads on a thread of its own, with limits and a deadline.
struct ShimSession: Sendable {
    let handle: SandboxHandle
    var warden: WardenClient { network.warden }
    private let network: EgressNetwork

    /// What the shim answered, and what was printed meanwhile.
    struct Answer: Sendable {
        var header: FrameHeader
        var meta: [UInt8]
        var body: [UInt8]
        var printed: [UInt8]
    }

    enum Failure: Error {
        case timeout
        /// With the last of what was printed.
        case ended(printed: [UInt8])
        case protocolFault
    }

    static func open(_ network: EgressNetwork, profile: String, purpose: SandboxPurpose, limits: SandboxLimits) async throws -> ShimSession
    {
        let handle = try await network.warden.create(profile: profile, purpose: purpose, limits: limits)
        return ShimSession(handle: handle, network: network)
    }

    /// Opens its way out, to be closed with it. Once, when it is warm and before code of a user's runs.
    func allow(
        _ hosts: [AllowedHost], owner: String, listed: (@Sendable () -> [AddressRange])?, injections: Injections? = nil,
        secrets: Redactor = Redactor([])
    ) async throws -> SandboxEgress {
        let egress = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<SandboxEgress, any Error>) in
            SandboxEgress.open(handle.id, network: network) { continuation.resume(with: $0) }
        }
        let record = EgressRecord(limits: network.limits.perFunction, totals: network.totals)
        let rules = EgressRules(owner: owner, hosts: hosts, listed: listed, record: record, injections: injections, secrets: secrets) { _ in
        }
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            egress.allow(rules) { failure in
                guard let failure else { return continuation.resume() }
                egress.close()
                continuation.resume(throwing: failure)
            }
        }
        return egress
    }

    /// Ends the sandbox. Returns when nothing of it is left.
    func close() async { _ = try? await warden.order(.destroy(sandbox: handle.id)) }

    /// Whether it is there and says nothing.
    var isWaiting: Bool { cl_poll_readable(handle.control.raw, 0) == 0 }

    /// Waits until the interpreter is warm.
    func waitUntilWarm(within seconds: Int = 20) async throws {
        let answer = try await onThread { try read(expecting: .warm, deadline: Self.now() + seconds * 1000, maximumBody: 0) }
        guard answer.header.bodyLength == 0 else { throw Failure.protocolFault }
    }

    /// Sends one frame and waits for the one that answers it.
    /// - Parameter call: the answer must name it, too.
    /// - Parameter onProgress: gets the bodies of frames that tell how far it is.
    func ask(
        _ kind: FrameHeader.Kind, _ fields: ShimFields, body: [UInt8] = [], call: UInt32 = 0, descriptor: Descriptor? = nil,
        expecting: FrameHeader.Kind, within seconds: Int, maximumBody: Int, onProgress: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> Answer {
        let bytes =
            FrameHeader(kind: kind, metaLength: fields.bytes.count, bodyLength: body.count, call: call).encoded + fields.bytes + body
        return try await onThread {
            defer { descriptor?.staysOpen() }
            let descriptors = descriptor.map { [$0.raw] } ?? []
            let sent = cl_send(handle.control.raw, bytes, bytes.count, descriptors, descriptors.count, 0)
            guard sent > 0 else { throw Failure.ended(printed: []) }
            if Int(sent) < bytes.count { try Files.writeAll(handle.control.raw, Array(bytes[Int(sent)...]), naming: "the control socket") }
            return try read(
                expecting: expecting, of: call, deadline: Self.now() + seconds * 1000, maximumBody: maximumBody, onProgress: onProgress)
        }
    }

    private func onThread<R: Sendable>(_ body: @Sendable @escaping () throws -> R) async throws -> R {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(with: Result { try body() }) }
            }
        } onCancel: {
            // What blocks reads the end of the stream: a server that stops does not wait for a build.
            shutdown(handle.control.raw, Int32(SHUT_RDWR))
        }
    }

    /// In milliseconds.
    private static func now() -> Int { Int(Monotonic.now / 1_000_000) }

    private func read(
        expecting kind: FrameHeader.Kind, of call: UInt32 = 0, deadline: Int, maximumBody: Int,
        onProgress: (@Sendable ([UInt8]) -> Void)? = nil
    ) throws -> Answer {
        var received: [UInt8] = []
        var printed: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        var open: [Int32] = [handle.output.raw, handle.error.raw]
        while true {
            while let onProgress, let told = try Self.takeProgress(&received) { onProgress(told) }
            if let answer = try parse(&received, expecting: kind, of: call, maximumBody: maximumBody, printed: printed) {
                var answer = answer
                for fd in open where cl_poll_readable(fd, 0) > 0 {
                    let got = Glibc.read(fd, &chunk, chunk.count)
                    if got > 0 { answer.printed.append(contentsOf: chunk[..<got]) }
                }
                return answer
            }
            let left = deadline - Self.now()
            guard left > 0 else { throw Failure.timeout }
            var polled = ([handle.control.raw] + open).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&polled, nfds_t(polled.count), Int32(min(left, 1000)))
            guard ready >= 0 || errno == EINTR else { throw Failure.ended(printed: printed) }
            for item in polled.dropFirst() where item.revents != 0 {
                let got = Glibc.read(item.fd, &chunk, chunk.count)
                if got <= 0 {
                    open.removeAll { $0 == item.fd }
                } else if printed.count < 256 << 10 {
                    printed.append(contentsOf: chunk[..<got])
                }
            }
            if polled[0].revents != 0 {
                let got = Glibc.read(handle.control.raw, &chunk, chunk.count)
                guard got > 0 else {
                    for fd in open where cl_poll_readable(fd, 0) > 0 {
                        let last = Glibc.read(fd, &chunk, chunk.count)
                        if last > 0 { printed.append(contentsOf: chunk[..<last]) }
                    }
                    throw Failure.ended(printed: printed)
                }
                received.append(contentsOf: chunk[..<got])
            }
        }
    }

    private static let longestProgress = 4096

    /// The first frame's body, where that is complete and tells how far it is.
    private static func takeProgress(_ received: inout [UInt8]) throws -> [UInt8]? {
        guard received.count >= FrameHeader.size, received[4] == FrameHeader.Kind.progress.rawValue else { return nil }
        guard
            let header = try? FrameHeader(
                fromShim: Array(received[..<FrameHeader.size]), maximumBodyLength: longestProgress, tellsProgress: true),
            header.metaLength == 0
        else { throw Failure.protocolFault }
        let end = FrameHeader.size + header.bodyLength
        guard received.count >= end else { return nil }
        defer { received.removeFirst(end) }
        return Array(received[FrameHeader.size..<end])
    }

    private func parse(_ received: inout [UInt8], expecting kind: FrameHeader.Kind, of call: UInt32, maximumBody: Int, printed: [UInt8])
        throws -> Answer?
    {
        guard received.count >= FrameHeader.size else { return nil }
        guard let header = try? FrameHeader(fromShim: Array(received[..<FrameHeader.size]), maximumBodyLength: maximumBody),
            header.kind == kind, header.call == call
        else { throw Failure.protocolFault }
        let end = FrameHeader.size + header.metaLength + header.bodyLength
        guard received.count >= end else { return nil }
        guard received.count == end else { throw Failure.protocolFault }
        let meta = Array(received[FrameHeader.size..<(FrameHeader.size + header.metaLength)])
        let body = Array(received[(FrameHeader.size + header.metaLength)..<end])
        return Answer(header: header, meta: meta, body: body, printed: printed)
    }
}
