import CLinux
import CasemateLinux
import CasemateWire
import Glibc

extension Warden {
    /// Carries out one order. Refusals name what was wrong with the order, never a path.
    func obey(_ order: Order, request: UInt32, from fd: Int32) {
        switch order {
        case .hello: send(.hello(instance: settings.instance, cgroupVersion: cgroups.version.rawValue), request: request, to: fd)
        case .create(let profile, let purpose, let limits): create(profile, purpose, limits, request: request, from: fd)
        case .specialise(let id, let bundle, let limits): specialise(id, bundle, limits, request: request, from: fd)
        case .destroy(let id):
            guard let sandbox = owned(id, by: fd) else { return send(.done, request: request, to: fd) }
            end(sandbox, then: .answer(request: request))
        case .collect(let id, let maximumBytes, let maximumFiles):
            guard let sandbox = owned(id, by: fd), sandbox.purpose == .build, case .waiting = sandbox.state else {
                return refuse(.unknownSandbox, "no build sandbox \(id)", request: request, to: fd)
            }
            end(sandbox, then: .collect(request: request, maximumBytes: maximumBytes, maximumFiles: maximumFiles))
        case .openResolver(let id): openResolver(id, request: request, from: fd)
        case .listen(let id, let listeners): listen(id, listeners, request: request, from: fd)
        case .openRange(let id, let range): openRange(id, range, request: request, from: fd)
        case .freeze(let id): freeze(id, request: request, from: fd)
        case .thaw(let id): thaw(id, request: request, from: fd)
        case .count(let id):
            guard let sandbox = owned(id, by: fd) else { return refuse(.unknownSandbox, "no sandbox \(id)", request: request, to: fd) }
            send(.counted(sandbox.counts), request: request, to: fd)
        case .removeBundle(let bundle):
            bundles.remove(bundle)
            send(.done, request: request, to: fd)
        case .listBundles(let after):
            send(.bundles(Array(bundles.stored(after: after).prefix(maximumBundlesPerReply))), request: request, to: fd)
        }
    }

    private func owned(_ id: UInt32, by fd: Int32) -> Sandbox? {
        guard let sandbox = sandboxes[id], sandbox.owner == fd else { return nil }
        return sandbox
    }

    private func create(_ profile: String, _ purpose: SandboxPurpose, _ limits: SandboxLimits, request: UInt32, from fd: Int32) {
        guard Profile.isName(profile) else { return refuse(.unknownProfile, "no such profile", request: request, to: fd) }
        guard sandboxes.count < Int(UIDLease.count) else { return refuse(.capacity, "no free slot", request: request, to: fd) }
        let id = newSandboxID()
        do throws(SystemError) {
            let sandbox = try Sandbox(
                id: id, owner: fd, request: request, profile: profile, purpose: purpose, limits: limits, settings: settings,
                cgroups: cgroups)
            sandboxes[id] = sandbox
            watch(sandbox)
        } catch {
            Journal.write("making a sandbox of \(profile): \(error)")
            Files.removeTree("\(settings.run)/sb/s\(id)")
            refuse(error.errno == ENOENT ? .unknownProfile : .failed, "profile \(profile) can't be started", request: request, to: fd)
        }
    }

    private func specialise(_ id: UInt32, _ bundle: BundleDigest, _ limits: SandboxLimits, request: UInt32, from fd: Int32) {
        guard let sandbox = owned(id, by: fd) else { return refuse(.unknownSandbox, "no sandbox \(id)", request: request, to: fd) }
        // Only where nothing of a user's runs another bundle may follow.
        guard case .waiting(let pid) = sandbox.state, !sandbox.showsBundle || sandbox.purpose == .scan else {
            return refuse(.wrongState, "sandbox \(id) is not waiting", request: request, to: fd)
        }
        do throws(SystemError) {
            switch try bundles.verify(bundle) {
            case .unknown: return refuse(.unknownBundle, "no such bundle", request: request, to: fd)
            case .changed:
                Journal.write("bundle \(bundle.hex) was changed on disk")
                return refuse(.digestMismatch, "the bundle on disk is not the one that was stored", request: request, to: fd)
            case .intact: break
            }
            if sandbox.purpose == .run {
                try sandbox.attach(bundleAt: BundleStore.name(bundle), limits: limits, pid: pid)
                sandbox.state = .specialised(pid: pid)
            } else {
                // It takes its packages from there, or is searched.
                try sandbox.show(bundleAt: BundleStore.name(bundle))
            }
            send(.done, request: request, to: fd)
        } catch {
            Journal.write("specialising: \(error)")
            refuse(.failed, "the bundle can't be attached", request: request, to: fd)
        }
    }

    private func freeze(_ id: UInt32, request: UInt32, from fd: Int32) {
        guard let sandbox = owned(id, by: fd), case .specialised = sandbox.state else {
            return refuse(.wrongState, "sandbox \(id) runs no function", request: request, to: fd)
        }
        do throws(SystemError) {
            send(.frozen(memory: try sandbox.freeze()), request: request, to: fd)
        } catch {
            Journal.write("freezing: \(error)")
            refuse(.failed, "the sandbox can't be frozen", request: request, to: fd)
        }
    }

    private func thaw(_ id: UInt32, request: UInt32, from fd: Int32) {
        guard let sandbox = owned(id, by: fd), case .specialised = sandbox.state else {
            return refuse(.wrongState, "sandbox \(id) runs no function", request: request, to: fd)
        }
        do throws(SystemError) {
            try sandbox.thaw()
            send(.done, request: request, to: fd)
        } catch {
            Journal.write("thawing: \(error)")
            refuse(.failed, "the sandbox can't be thawed", request: request, to: fd)
        }
    }

    private func openResolver(_ id: UInt32, request: UInt32, from fd: Int32) {
        guard let sandbox = owned(id, by: fd) else { return refuse(.unknownSandbox, "no sandbox \(id)", request: request, to: fd) }
        guard !sandbox.hasResolver, case .waiting(let pid) = sandbox.state else {
            return refuse(.wrongState, "sandbox \(id) has its resolver already, or is not waiting", request: request, to: fd)
        }
        do throws(SystemError) {
            let (datagrams, stream) = try EgressSockets.resolver(inNetworkOf: pid)
            defer {
                datagrams.staysOpen()
                stream.staysOpen()
            }
            sandbox.hasResolver = true
            send(.done, request: request, to: fd, descriptors: [datagrams.raw, stream.raw])
        } catch {
            Journal.write("opening a sandbox's resolver: \(error)")
            refuse(.failed, "the sandbox's resolver can't be opened", request: request, to: fd)
        }
    }

    private func listen(_ id: UInt32, _ listeners: [InnerListener], request: UInt32, from fd: Int32) {
        openListeners(id, listeners.count, request: request, from: fd) { pid throws(SystemError) in
            try EgressSockets.listen(inNetworkOf: pid, on: listeners)
        }
    }

    private func openRange(_ id: UInt32, _ range: InnerRange, request: UInt32, from fd: Int32) {
        openListeners(id, 1, request: request, from: fd) { pid throws(SystemError) in
            [try EgressSockets.range(inNetworkOf: pid, range)]
        }
    }

    /// Hands over `count` listeners that `make` opens in the sandbox's network.
    private func openListeners(
        _ id: UInt32, _ count: Int, request: UInt32, from fd: Int32, _ make: (pid_t) throws(SystemError) -> [Descriptor]
    ) {
        guard let sandbox = owned(id, by: fd) else { return refuse(.unknownSandbox, "no sandbox \(id)", request: request, to: fd) }
        let pid: pid_t
        switch sandbox.state {
        case .waiting(let found), .specialised(let found): pid = found
        default: return refuse(.wrongState, "sandbox \(id) is not up", request: request, to: fd)
        }
        guard sandbox.listeners + count <= Sandbox.mostListeners else {
            return refuse(.capacity, "sandbox \(id) has \(sandbox.listeners) listeners already", request: request, to: fd)
        }
        do throws(SystemError) {
            let sockets = try make(pid)
            defer { for socket in sockets { socket.staysOpen() } }
            sandbox.listeners += sockets.count
            send(.done, request: request, to: fd, descriptors: sockets.map(\.raw))
        } catch {
            Journal.write("opening listeners: \(error)")
            refuse(.failed, "the sandbox's listeners can't be opened", request: request, to: fd)
        }
    }

    // MARK: Collecting a build

    func startCollecting(_ sandbox: Sandbox, request: UInt32, maximumBytes: UInt64, maximumFiles: UInt32) {
        do throws(SystemError) {
            let fd = open(sandbox.outputFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard fd >= 0 else { throw .last("opening a build's output") }
            let output = Descriptor(fd)
            let result = Descriptor(try check(cl_memfd("ingest"), "making a memory file"))
            defer {
                output.staysOpen()
                result.staysOpen()
            }
            let pid = try spawn(
                ["/proc/self/exe", "ingest", "\(maximumBytes)", "\(maximumFiles)"],
                descriptors: [0, result.raw, 2, output.raw, bundles.folder.raw])
            sandbox.state = .collecting(ingest: pid, request: request, result: result)
        } catch {
            Journal.write("\(error)")
            forget(sandbox)
            refuse(.failed, "the build's output can't be stored", request: request, to: sandbox.owner)
        }
    }

    func finishCollecting(_ sandbox: Sandbox, request: UInt32, result: Descriptor) {
        defer {
            result.staysOpen()
            forget(sandbox)
        }
        lseek(result.raw, 0, SEEK_SET)
        let bytes = (try? Files.read(result.raw, limit: 4096, naming: "the result")) ?? []
        do throws(WireError) {
            var input = ByteReader(bytes)
            guard try input.integer(UInt8.self) == 1 else {
                let text = String(decoding: try input.take(input.remaining), as: UTF8.self)
                return refuse(.outputRefused, text, request: request, to: sandbox.owner)
            }
            guard let digest = BundleDigest(try input.take(32)) else { throw .truncated }
            let files = try input.integer(UInt32.self)
            let size = try input.integer(UInt64.self)
            send(.collected(bundle: digest, files: files, bytes: size), request: request, to: sandbox.owner)
        } catch {
            refuse(.failed, "the build's output can't be stored", request: request, to: sandbox.owner)
        }
    }
}
