import CCurl
import Glibc

/// A libcurl handle: one transfer at a time, connections kept between them. Belongs to one thread.
final class CurlHandle {
    private let curl: UnsafeMutableRawPointer
    private let settings: CurlTransport.Settings

    /// Once in the process, before any thread needs it.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    init?(settings: CurlTransport.Settings) {
        guard Self.isReady, let curl = curl_easy_init() else { return nil }
        self.curl = curl
        self.settings = settings
    }

    deinit { curl_easy_cleanup(curl) }

    func perform(_ transfer: Transfer) -> Result<Answer, TransportFailure> {
        let request = transfer.request
        guard let left = transfer.start() else { return .failure(.waitedInVain) }
        let sink = AnswerSink(transfer: transfer, curl: curl)
        let reader = request.file.map { FileBodyReader($0) }
        var headers: UnsafeMutablePointer<curl_slist>?
        defer {
            // Everything but connections, TLS sessions and names looked up: the handle points to nothing of ours any more, and the hash
            // of this body can't be signed again.
            curl_easy_reset(curl)
            cc_free_headers(headers)
        }
        guard append(request, transfer.credentials, to: &headers) else { return .failure(.overloaded("no memory")) }
        guard request.sink?.begin() ?? true else { return .failure(.notKept) }
        let code = withExtendedLifetime((sink, reader, transfer)) {
            let ready = setOptions(request, transfer.credentials, sink: sink, reader: reader, headers: headers, left: left)
            return ready == CURLE_OK ? curl_easy_perform(curl) : ready
        }
        guard code == CURLE_OK else { return .failure(failure(code, sink, reader)) }
        var status = 0
        cc_get_long(curl, CURLINFO_RESPONSE_CODE, &status)
        return .success(Answer(status: status, headers: answerHeaders(), body: sink.finish()))
    }

    /// libcurl signs every header of the list, so the token too.
    private func append(
        _ request: SignedRequest, _ credentials: AWSCredentials, to headers: inout UnsafeMutablePointer<curl_slist>?
    ) -> Bool {
        func add(_ line: UnsafePointer<CChar>) -> Bool {
            guard let longer = curl_slist_append(headers, line) else { return false }
            headers = longer
            return true
        }
        for (header, value) in request.headers where !add("\(header.rawValue): \(value)") { return false }
        guard let token = credentials.sessionToken else { return true }
        let name = Array("x-amz-security-token: ".utf8)
        let line = token.withBytes { token in
            SensitiveBytes(count: name.count + token.count) { line in
                line.copyBytes(from: name)
                UnsafeMutableRawBufferPointer(rebasing: line[name.count...]).copyMemory(from: token)
            }
        }
        return line.withText(add)
    }

    /// - Returns: the first code that is not CURLE_OK.
    private func setOptions(
        _ request: SignedRequest, _ credentials: AWSCredentials, sink: AnswerSink, reader: FileBodyReader?,
        headers: UnsafeMutablePointer<curl_slist>?, left: Duration
    ) -> CURLcode {
        var first = CURLE_OK
        func check(_ code: CURLcode) { if first == CURLE_OK { first = code } }
        let leftInMilliseconds = left.inMilliseconds

        check(cc_set_text(curl, CURLOPT_URL, request.url))
        check(cc_set_text(curl, CURLOPT_PROTOCOLS_STR, request.endpoint.scheme.rawValue))
        check(cc_set_long(curl, CURLOPT_FOLLOWLOCATION, 0))
        check(cc_set_long(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1))
        // What is signed is what is sent, without the dots made away with.
        check(cc_set_long(curl, CURLOPT_PATH_AS_IS, 1))
        check(cc_set_long(curl, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)))
        check(cc_set_text(curl, CURLOPT_USERAGENT, "casemate"))
        // Empty means none, also when the environment has one.
        let proxy = request.endpoint.scheme == .https && !request.endpoint.isLoopback ? settings.proxy ?? "" : ""
        check(cc_set_text(curl, CURLOPT_PROXY, proxy))
        check(cc_set_text(curl, CURLOPT_NOPROXY, ""))

        check(cc_set_long(curl, CURLOPT_NOSIGNAL, 1))
        check(cc_set_long(curl, CURLOPT_CONNECTTIMEOUT_MS, min(settings.connectTimeout.inMilliseconds, leftInMilliseconds)))
        check(cc_set_long(curl, CURLOPT_TIMEOUT_MS, leftInMilliseconds))
        if request.isStreamed {
            // It may take minutes; what stands still meanwhile is given up. In bytes a second, and seconds.
            check(cc_set_long(curl, CURLOPT_LOW_SPEED_LIMIT, 1024))
            check(cc_set_long(curl, CURLOPT_LOW_SPEED_TIME, 20))
        }
        // Else the end of a transfer waits for a name that is still looked up, past every limit.
        check(cc_set_long(curl, CURLOPT_QUICK_EXIT, 1))

        check(cc_set_long(curl, CURLOPT_SSL_VERIFYPEER, 1))
        check(cc_set_long(curl, CURLOPT_SSL_VERIFYHOST, 2))
        check(cc_set_long(curl, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)))
        if let authorities = settings.authorities {
            check(cc_set_text(curl, CURLOPT_CAINFO, authorities))
            // The folder of the system's authorities would be trusted too.
            check(cc_set_text(curl, CURLOPT_CAPATH, nil))
        }

        check(cc_set_text(curl, CURLOPT_AWS_SIGV4, "aws:amz:\(request.region):\(request.service)"))
        // CURLOPT_USERPWD in two, which leaves no question where the name ends.
        credentials.accessKey.withText { check(cc_set_text(curl, CURLOPT_USERNAME, $0)) }
        credentials.secretKey.withText { check(cc_set_text(curl, CURLOPT_PASSWORD, $0)) }
        check(cc_set_headers(curl, headers))

        switch request.method {
        case .get: check(cc_set_long(curl, CURLOPT_HTTPGET, 1))
        case .head: check(cc_set_long(curl, CURLOPT_NOBODY, 1))
        case .delete:
            check(cc_set_long(curl, CURLOPT_HTTPGET, 1))
            check(cc_set_text(curl, CURLOPT_CUSTOMREQUEST, request.method.rawValue))
        case .put, .post:
            if let reader {
                // Signed with the hash in its headers, for libcurl signs a body that it reads bit by bit as if it were empty.
                check(cc_set_long(curl, CURLOPT_UPLOAD, 1))
                check(cc_set_size(curl, CURLOPT_INFILESIZE_LARGE, curl_off_t(reader.sizeInBytes)))
                let box = Unmanaged.passUnretained(reader).toOpaque()
                check(cc_set_reader(curl, bodyWanted))
                check(cc_set_pointer(curl, CURLOPT_READDATA, box))
                // A kept connection may turn out to be closed when the body is half sent.
                check(cc_set_seeker(curl, bodyWantedFrom))
                check(cc_set_pointer(curl, CURLOPT_SEEKDATA, box))
                break
            }
            // PUT too, for the same reason.
            check(cc_set_long(curl, CURLOPT_POST, 1))
            let body = request.body
            check(cc_set_size(curl, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body?.count ?? 0)))
            if let body {
                // Outlives the transfer, as the request holds it.
                body.withText { check(cc_set_pointer(curl, CURLOPT_POSTFIELDS, $0)) }
            } else {
                check(cc_set_text(curl, CURLOPT_COPYPOSTFIELDS, ""))
            }
            check(cc_set_text(curl, CURLOPT_CUSTOMREQUEST, request.method.rawValue))
        }

        let box = Unmanaged.passUnretained(sink).toOpaque()
        check(cc_set_writer(curl, answerArrived))
        check(cc_set_pointer(curl, CURLOPT_WRITEDATA, box))
        check(cc_set_long(curl, CURLOPT_NOPROGRESS, 0))
        check(cc_set_progress(curl, transferGoesOn))
        check(cc_set_pointer(curl, CURLOPT_XFERINFODATA, box))
        return first
    }

    private func answerHeaders() -> [Answer.Header: String] {
        var found: [Answer.Header: String] = [:]
        for header in Answer.Header.allCases {
            var line: UnsafeMutablePointer<curl_header>?
            guard curl_easy_header(curl, header.rawValue, 0, UInt32(CURLH_HEADER), -1, &line) == CURLHE_OK, let line else { continue }
            let value = String(cString: line.pointee.value)
            guard value.utf8.count <= 1024, value.utf8.allSatisfy({ Characters.isVisible($0) || $0 == 32 }) else { continue }
            found[header] = value
        }
        return found
    }

    private func failure(_ code: CURLcode, _ sink: AnswerSink, _ reader: FileBodyReader?) -> TransportFailure {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: return .notReached("the host's name does not resolve")
        case CURLE_COULDNT_RESOLVE_PROXY: return .notReached("the proxy's name does not resolve")
        case CURLE_COULDNT_CONNECT: return .notReached("no connection")
        case CURLE_SSL_CONNECT_ERROR: return .notReached("no agreement on TLS")
        case CURLE_PEER_FAILED_VERIFICATION: return .untrusted("its certificate is not trusted, or is another host's")
        case CURLE_SSL_CACERT_BADFILE: return .untrusted("the file of trusted authorities can't be read")
        case CURLE_OPERATION_TIMEDOUT:
            var sentAt: curl_off_t = 0
            cc_get_size(curl, CURLINFO_PRETRANSFER_TIME_T, &sentAt)
            return sentAt == 0 ? .notReached("no connection in time") : .timedOut
        case CURLE_WRITE_ERROR where sink.isTooLarge: return .tooLarge(limit: sink.limit)
        case CURLE_WRITE_ERROR where sink.isRefused: return .notKept
        case CURLE_ABORTED_BY_CALLBACK where reader?.hasFailed == true: return .overloaded("the file that is sent can't be read")
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY: return .notHTTP
        case CURLE_GOT_NOTHING: return .broken("the connection was closed without an answer")
        case CURLE_PARTIAL_FILE: return .broken("the connection was closed in the middle of the answer")
        case CURLE_SEND_ERROR, CURLE_RECV_ERROR: return .broken("the connection broke")
        // A text of libcurl's own for each code; CURLOPT_ERRORBUFFER would quote the server.
        default: return .broken(String(cString: curl_easy_strerror(code)))
        }
    }
}

extension Duration {
    /// Rounded down, 1 at least: 0 is "no limit" to libcurl.
    fileprivate var inMilliseconds: Int { max(1, Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)) }
}
