import CasemateModel
import CasemateSandbox
import NIOCore

/// A connection from one function's sandbox to another function: who calls is known by the sandbox, whom by the address that was dialled.
///
/// Lives on the gateway's loop.
package final class FunctionLink {
    let callerId: FunctionId
    let caller: FunctionName
    let callee: FunctionName
    let sandbox: UInt32
    /// How many calls wait for those that run in the sandbox now.
    let depth: () -> Int

    init(callerId: FunctionId, caller: FunctionName, callee: FunctionName, sandbox: UInt32, depth: @escaping () -> Int) {
        self.callerId = callerId
        self.caller = caller
        self.callee = callee
        self.sandbox = sandbox
        self.depth = depth
    }

    /// Exactly one Host, the callee's, with or without the port.
    func isHost(_ values: [Substring]) -> Bool {
        guard values.count == 1 else { return false }
        let asked = values[0].lowercased()
        return asked == callee.internalHost || asked == "\(callee.internalHost):80"
    }
}

/// Sets up the server's side of connections out of sandboxes. Set once, each by whoever serves them.
package final class FunctionLinks {
    package var install: ((any Channel, FunctionLink) throws -> Void)?
    package var installPlatform: ((any Channel, PlatformLink) throws -> Void)?
}

/// What of the server one function may reach, behind names of its sandbox's resolver: functions that list it, functions that it may call for
/// its callers, and the platform itself.
struct CalledFunctions: EgressPeers {
    let callerId: FunctionId
    let caller: FunctionName
    let sandbox: UInt32
    let capabilities: [Capability]
    /// Nil for a function that declares nothing to be had there.
    let platform: PlatformLink?
    let catalog: Catalog
    let loop: any EventLoop
    private let links: NIOLoopBound<(links: FunctionLinks, depth: () -> Int)>

    /// - Parameter depth: of the calls that the sandbox runs; asked on the loop.
    init(
        callerId: FunctionId, caller: FunctionName, sandbox: UInt32, capabilities: [Capability], platform: PlatformLink?, catalog: Catalog,
        loop: any EventLoop, links: FunctionLinks, depth: @escaping () -> Int
    ) {
        self.callerId = callerId
        self.caller = caller
        self.sandbox = sandbox
        self.capabilities = capabilities
        self.platform = platform
        self.catalog = catalog
        self.loop = loop
        self.links = NIOLoopBound((links, depth), eventLoop: loop)
    }

    func leads(to name: String) -> Bool {
        if name == PlatformLink.host { return platform != nil }
        guard let callee = FunctionName(internalHost: name) else { return false }
        // Whether there is such a function is not told by its name: the call is refused alike.
        if capabilities.contains(Capability(function: callee, right: .functionInvoke)) { return true }
        return catalog.function(named: callee.description[...])?.mayBeCalled(by: caller) ?? false
    }

    func take(_ channel: any Channel, to name: String) throws {
        if name == PlatformLink.host {
            guard let platform, let install = links.value.links.installPlatform else { throw ChannelError.eof }
            return try install(channel, platform)
        }
        guard let callee = FunctionName(internalHost: name), let install = links.value.links.install else { throw ChannelError.eof }
        try install(channel, FunctionLink(callerId: callerId, caller: caller, callee: callee, sandbox: sandbox, depth: links.value.depth))
    }
}
