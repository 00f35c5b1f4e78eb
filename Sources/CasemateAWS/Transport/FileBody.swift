import CCurl
import Glibc

/// A request's body that is read from a file while it is sent, so that it need not fit into memory.
final class FileBody: Sendable {
    private let descriptor: Int32
    let sizeInBytes: Int
    /// In hexadecimal.
    let sha256: String

    /// - Parameter descriptor: stays its owner's. Here is a copy, for a transfer may read on for a moment when nobody waits for it any more.
    init(descriptor: Int32, sizeInBytes: Int, sha256: String) throws(AWSError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw .unavailable("a descriptor can't be copied: \(String(cString: strerror(errno)))") }
        self.descriptor = copy
        self.sizeInBytes = sizeInBytes
        self.sha256 = sha256
    }

    deinit { close(descriptor) }

    /// Fills the beginning of `buffer` with what stands at `offset`, wherever others read the file.
    /// - Returns: how many bytes; nil where there are none though there should be.
    fileprivate func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int? {
        let wanted = min(buffer.count, sizeInBytes - offset)
        guard wanted > 0, let base = buffer.baseAddress else { return 0 }
        while true {
            let got = pread(descriptor, base, wanted, off_t(offset))
            if got < 0, errno == EINTR { continue }
            return got > 0 ? got : nil
        }
    }
}

/// How far one transfer has sent its file. Belongs to one thread.
final class FileBodyReader {
    private let file: FileBody
    private var offset = 0
    private(set) var hasFailed = false

    init(_ file: FileBody) { self.file = file }

    var sizeInBytes: Int { file.sizeInBytes }

    fileprivate func next(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        guard let count = file.read(into: buffer, at: offset) else {
            hasFailed = true
            return nil
        }
        offset += count
        return count
    }

    fileprivate func go(to offset: Int) -> Bool {
        guard (0...file.sizeInBytes).contains(offset) else { return false }
        self.offset = offset
        return true
    }
}

/// libcurl's CURLOPT_READFUNCTION.
func bodyWanted(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ box: UnsafeMutableRawPointer?) -> Int {
    guard let box else { return Int(CURL_READFUNC_ABORT) }
    let reader = Unmanaged<FileBodyReader>.fromOpaque(box).takeUnretainedValue()
    return reader.next(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count)) ?? Int(CURL_READFUNC_ABORT)
}

/// libcurl's CURLOPT_SEEKFUNCTION.
func bodyWantedFrom(_ box: UnsafeMutableRawPointer?, _ offset: curl_off_t, _ origin: Int32) -> Int32 {
    guard let box, origin == SEEK_SET else { return CURL_SEEKFUNC_CANTSEEK }
    let reader = Unmanaged<FileBodyReader>.fromOpaque(box).takeUnretainedValue()
    return reader.go(to: Int(offset)) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
}
