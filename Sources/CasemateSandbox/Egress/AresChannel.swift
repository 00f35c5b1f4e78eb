import CAres
import CasemateLinux
import CasemateModel
import Glibc

/// One c-ares channel and the sockets that it waits on. After the initialiser it is used on one thread only.
final class AresChannel: @unchecked Sendable {
    struct Answer: Sendable {
        var addresses: [IPAddress]
        /// The shortest life of its records.
        var seconds: Int
    }

    typealias Result = Swift.Result<Answer, UpstreamResolver.Failure>

    private var channel: ares_channel?
    private var events: [Int32: Int16] = [:]

    init(servers: [String]) throws(SystemError) {
        guard ares_library_init(1) == 0 else {
            throw SystemError("starting the resolver", errno: ENOMEM)
        }
        var options = ares_options()
        // A socket of its own, and so a port that nobody can foresee, for each question (RFC 5452 §9.2).
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS
        // Without domains to search: a name that does not exist must not become another.
        options.domains = nil
        options.ndomains = 0
        // The size that passes without fragments (DNS flag day 2020).
        options.ednspsz = 1232
        options.timeout = 1500
        options.tries = 2
        options.sock_state_cb = socketStateChanged
        options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        var mask =
            ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB
        // Resolvers of its own answer for everything: the host's file is not asked before them.
        let lookups = strdup(servers.isEmpty ? "fb" : "b")
        defer { free(lookups) }
        options.lookups = lookups
        mask |= ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS
        guard ares_init_options(&channel, &options, mask) == 0, let channel else {
            throw SystemError("starting the resolver", errno: EINVAL)
        }
        if !servers.isEmpty, ares_set_servers_ports_csv(channel, servers.joined(separator: ",")) != 0 {
            throw SystemError("setting the resolvers", errno: EINVAL)
        }
    }

    deinit { if let channel { ares_destroy(channel) } }

    func ask(_ name: String, _ done: @escaping (Result) -> Void) {
        guard let channel else { return done(.failure(.noAnswer)) }
        var hints = ares_addrinfo_hints()
        hints.ai_flags = ARES_AI_NOSORT
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        let box = Unmanaged.passRetained(AresQuestion(done))
        ares_getaddrinfo(channel, name, nil, &hints, answered, box.toOpaque())
    }

    /// Waits until something comes for a question, its time is over, or `other` can be read.
    func wait(orFor other: Int32) {
        guard let channel else { return }
        var polled = events.map { pollfd(fd: $0.key, events: $0.value, revents: 0) }
        polled.append(pollfd(fd: other, events: Int16(POLLIN), revents: 0))
        var most = timeval(tv_sec: 3600, tv_usec: 0)
        var next = timeval()
        let chosen = withUnsafeMutablePointer(to: &most) { most in
            withUnsafeMutablePointer(to: &next) { next in ares_timeout(channel, most, next)?.pointee ?? most.pointee }
        }
        let milliseconds = Int32(clamping: chosen.tv_sec * 1000 + (chosen.tv_usec + 999) / 1000)
        let ready = poll(&polled, nfds_t(polled.count), milliseconds)
        if polled.last?.revents ?? 0 != 0 {
            var count: UInt64 = 0
            _ = read(other, &count, 8)
        }
        guard ready > 0 else { return ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD) }
        for entry in polled.dropLast() where entry.revents != 0 {
            let reads = entry.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0
            let writes = entry.revents & Int16(POLLOUT) != 0
            ares_process_fd(channel, reads ? entry.fd : ARES_SOCKET_BAD, writes ? entry.fd : ARES_SOCKET_BAD)
        }
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD)
    }

    func cancel() { if let channel { ares_cancel(channel) } }

    fileprivate func socketChanged(_ fd: Int32, reads: Bool, writes: Bool) {
        let wanted = (reads ? Int16(POLLIN) : 0) | (writes ? Int16(POLLOUT) : 0)
        events[fd] = wanted == 0 ? nil : wanted
    }
}

private final class AresQuestion {
    let done: (AresChannel.Result) -> Void

    init(_ done: @escaping (AresChannel.Result) -> Void) { self.done = done }
}

private func socketStateChanged(_ box: UnsafeMutableRawPointer?, _ fd: ares_socket_t, _ reads: Int32, _ writes: Int32) {
    guard let box else { return }
    Unmanaged<AresChannel>.fromOpaque(box).takeUnretainedValue().socketChanged(fd, reads: reads != 0, writes: writes != 0)
}

private func answered(_ box: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32, _ info: UnsafeMutablePointer<ares_addrinfo>?) {
    guard let box else { return }
    let question = Unmanaged<AresQuestion>.fromOpaque(box).takeRetainedValue()
    defer { if let info { ares_freeaddrinfo(info) } }
    guard status == 0, let info else {
        let hasNone = [ARES_ENOTFOUND, ARES_ENODATA, ARES_EBADNAME].contains(status)
        return question.done(.failure(hasNone ? .noAddress : .noAnswer))
    }
    var answer = AresChannel.Answer(addresses: [], seconds: .max)
    var node = info.pointee.nodes
    while let entry = node {
        answer.seconds = min(answer.seconds, Int(entry.pointee.ai_ttl))
        if let name = entry.pointee.ai_addr, let address = IPAddress(socketName: name), !answer.addresses.contains(address) {
            answer.addresses.append(address)
        }
        node = entry.pointee.ai_next
    }
    var alias = info.pointee.cnames
    while let entry = alias {
        answer.seconds = min(answer.seconds, Int(entry.pointee.ttl))
        alias = entry.pointee.next
    }
    question.done(answer.addresses.isEmpty ? .failure(.noAddress) : .success(answer))
}
