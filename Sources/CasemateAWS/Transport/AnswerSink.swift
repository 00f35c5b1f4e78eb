import CCurl
import Glibc

/// Where an answer goes as it arrives, up to its limit. What it held is overwritten.
final class AnswerSink {
    let limit: Int
    private let transfer: Transfer
    private let curl: UnsafeMutableRawPointer
    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
    private var count = 0
    /// Of an object that went on to its sink.
    private var passed = 0
    private(set) var isTooLarge = false
    /// The request's sink did not take what came.
    private(set) var isRefused = false
    /// Whether what comes is what was asked for, and not a refusal's text. Asked when the head is there.
    private lazy var isObject: Bool = {
        var status = 0
        cc_get_long(curl, CURLINFO_RESPONSE_CODE, &status)
        return (200..<300).contains(status)
    }()

    /// - Parameter curl: the handle that the answer comes from.
    init(transfer: Transfer, curl: UnsafeMutableRawPointer) {
        limit = transfer.request.mostAnswerInBytes
        self.transfer = transfer
        self.curl = curl
    }

    deinit { Self.free(buffer) }

    /// Nobody waits for it any more.
    var isUnwanted: Bool { transfer.hasEnded }

    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let object = transfer.request.sink else { return keep(bytes, upTo: limit) }
        return isObject ? pass(bytes, to: object) : keep(bytes, upTo: 1 << 20)
    }

    private func pass(_ bytes: UnsafeRawBufferPointer, to object: any ObjectSink) -> Bool {
        guard bytes.count <= limit - passed else {
            isTooLarge = true
            return false
        }
        passed += bytes.count
        // Whoever went away may have given the sink to another attempt.
        guard !isUnwanted, object.append(bytes) else {
            isRefused = true
            return false
        }
        return true
    }

    private func keep(_ bytes: UnsafeRawBufferPointer, upTo limit: Int) -> Bool {
        guard bytes.count <= limit - count else {
            isTooLarge = true
            return false
        }
        if count + bytes.count > buffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(buffer.count * 2, count + bytes.count), alignment: 1)
            larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            Self.free(buffer)
            buffer = larger
        }
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
        return true
    }

    func finish() -> SensitiveBytes { SensitiveBytes(buffer[..<count]) }

    private static func free(_ buffer: UnsafeMutableRawBufferPointer) {
        if let base = buffer.baseAddress { explicit_bzero(base, buffer.count) }
        buffer.deallocate()
    }
}

/// libcurl's CURLOPT_WRITEFUNCTION.
func answerArrived(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ box: UnsafeMutableRawPointer?) -> Int {
    guard let box else { return 0 }
    let sink = Unmanaged<AnswerSink>.fromOpaque(box).takeUnretainedValue()
    // Another number than was given ends the transfer with CURLE_WRITE_ERROR.
    return sink.append(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}

/// libcurl's CURLOPT_XFERINFOFUNCTION. Called once a second at least; another number than 0 ends the transfer.
func transferGoesOn(
    _ box: UnsafeMutableRawPointer?, _: curl_off_t, _: curl_off_t, _: curl_off_t, _: curl_off_t
) -> Int32 {
    guard let box else { return 1 }
    return Unmanaged<AnswerSink>.fromOpaque(box).takeUnretainedValue().isUnwanted ? 1 : 0
}
