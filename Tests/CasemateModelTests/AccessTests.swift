import CasemateModel
import Testing

@Suite("Roles, rights and what they are held on")
struct AccessTests {
    private let plant = NamespaceId()
    private let other = NamespaceId()
    private let score = FunctionId()
    private let account = AccountId()

    private func grant(_ permission: Permission, _ resource: Resource) -> Grant {
        Grant(
            id: GrantId(), subject: .serviceAccount(account), permission: permission, resource: resource,
            created: Timestamp(milliseconds: 0), createdBy: "")
    }

    @Test("a right is text that comes back as itself, and a bit of its own", arguments: Right.allCases)
    func text(right: Right) {
        #expect(Permission(right.rawValue) == .right(right))
        #expect(Rights(right).list == [right])
        #expect(!Rights(Right.allCases.filter { $0 != right }).contains(right))
    }

    @Test("what is neither role nor right is no permission", arguments: ["", "root", "Admin", "function:*", "*", "function:read "])
    func noPermission(text: String) { #expect(Permission(text) == nil) }

    @Test("reading a function shows neither its source nor its logs nor its secrets; only who must see source does")
    func viewer() {
        let on = Resource.namespace(plant)
        #expect(Role.viewer.rights(on: on).list == [.functionRead])
        #expect(Role.allCases.filter { $0.rights(on: on).contains(.sourceRead) } == [.approver, .admin])
    }

    @Test("no role on a part of the server gives what concerns all of it, nor addresses", arguments: Role.allCases)
    func parts(role: Role) {
        for resource in [Resource.namespace(plant), .function(score, in: plant)] {
            #expect(role.rights(on: resource).isDisjoint(with: Rights.ofPlatform))
            #expect(!role.rights(on: resource).contains(.egressAddress))
        }
        #expect((role.rights(on: .platform) == .all) == (role == .admin))
    }

    @Test("a right on a namespace holds for its functions, and nowhere else")
    func namespace() {
        let rights = GrantedRights([grant(.right(.logsRead), .namespace(plant))])
        #expect(rights.has(.logsRead, on: .namespace(plant)))
        #expect(rights.has(.logsRead, on: .function(score, in: plant)))
        #expect(!rights.has(.functionRead, on: .namespace(plant)))
        for resource in [Resource.platform, .namespace(other), .function(score, in: other)] {
            #expect(rights.on(resource).isEmpty, "\(resource)")
        }
        #expect(rights.within(.platform) == Rights(.logsRead))
        #expect(rights.within(.namespace(other)).isEmpty)
    }

    @Test("a right on a function holds there alone, but makes its namespace known")
    func function() {
        let rights = GrantedRights([grant(.right(.functionInvoke), .function(score, in: plant))])
        #expect(rights.has(.functionInvoke, on: .function(score, in: plant)))
        #expect(!rights.has(.functionInvoke, on: .function(FunctionId(), in: plant)))
        #expect(rights.on(.namespace(plant)).isEmpty)
        #expect(rights.within(.namespace(plant)) == Rights(.functionInvoke))
        #expect(!rights.has(.functionInvoke, on: .function(score, in: other)), "an id alone opens nothing in another namespace")
    }

    @Test("several grants add up")
    func sum() {
        let rights = GrantedRights([
            grant(.role(.viewer), .platform), grant(.right(.logsRead), .namespace(plant)),
            grant(.right(.sourceRead), .function(score, in: plant)),
        ])
        #expect(rights.on(.function(score, in: plant)) == Rights([.functionRead, .logsRead, .sourceRead]))
        #expect(rights.on(.namespace(plant)) == Rights([.functionRead, .logsRead]))
        #expect(rights.on(.namespace(other)) == Rights(.functionRead))
    }

    @Test("nothing granted, nothing held")
    func nothing() {
        for resource in [Resource.platform, .namespace(plant), .function(score, in: plant)] {
            #expect(GrantedRights([]).within(resource).isEmpty)
            #expect(GrantedRights.everything.on(resource) == Rights.all)
        }
    }
}
