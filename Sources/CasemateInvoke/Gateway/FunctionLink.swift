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
    /// How many calls wait for those that run in the sandbox now.
    let depth: () -> Int

    init(callerId: FunctionId, caller: FunctionName, callee: FunctionName, depth: @escaping () -> Int) {
        self.callerId = callerId
        self.caller = caller
        self.callee = callee
        self.depth = depth
    }

    /// Exactly one Host, the callee's, with or without the port.
    func isHost(_ values: [Substring]) -> Bool {
        guard values.count == 1 else { return false }
        let asked = values[0].lowercased()
        return asked == callee.internalHost || asked == "\(callee.internalHost):80"
    }
}

/// Sets up the gateway's side of such connections. Set once, by the gateway.
package final class FunctionLinks {
    package var install: ((any Channel, FunctionLink) throws -> Void)?
}

/// The functions that one function may call, behind names of its sandbox's resolver.
struct CalledFunctions: EgressPeers {
    let callerId: FunctionId
    let caller: FunctionName
    let catalog: Catalog
    let loop: any EventLoop
    private let links: NIOLoopBound<(links: FunctionLinks, depth: () -> Int)>

    /// - Parameter depth: of the calls that the sandbox runs; asked on the loop.
    init(
        callerId: FunctionId, caller: FunctionName, catalog: Catalog, loop: any EventLoop, links: FunctionLinks, depth: @escaping () -> Int
    ) {
        self.callerId = callerId
        self.caller = caller
        self.catalog = catalog
        self.loop = loop
        self.links = NIOLoopBound((links, depth), eventLoop: loop)
    }

    func leads(to name: String) -> Bool {
        guard let callee = FunctionName(internalHost: name), let function = catalog.function(named: callee.description[...]) else {
            return false
        }
        return function.mayBeCalled(by: caller)
    }

    func take(_ channel: any Channel, to name: String) throws {
        guard let callee = FunctionName(internalHost: name), let install = links.value.links.install else { throw ChannelError.eof }
        try install(channel, FunctionLink(callerId: callerId, caller: caller, callee: callee, depth: links.value.depth))
    }
}
