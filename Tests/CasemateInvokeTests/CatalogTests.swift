import CasemateModel
import Synchronization
import Testing

@testable import CasemateInvoke

@Suite("The catalogue that calls read")
struct CatalogTests {
    @Test("a function is found by its name and by its id until it is removed")
    func found() {
        let catalog = Catalog()
        let function = InvokeFixture.deployed("team/fn")
        catalog.put(function)
        #expect(catalog.function(named: "team/fn")?.id == function.id)
        #expect(catalog.function(function.id)?.name == function.name)
        #expect(catalog.function(named: "team/f") == nil)
        catalog.remove(function.id)
        #expect(catalog.function(named: "team/fn") == nil)
        #expect(catalog.function(function.id) == nil)
        #expect(catalog.count == 0)
    }

    @Test("every change makes a newer generation, also of the same function")
    func generation() throws {
        let catalog = Catalog()
        let function = InvokeFixture.deployed("team/fn")
        var last: UInt64 = 0
        for _ in 0..<3 {
            catalog.put(function)
            let generation = try #require(catalog.function(function.id)).generation
            #expect(generation > last)
            last = generation
        }
    }

    @Test("a listener hears of every change after it is in force")
    func listener() {
        let catalog = Catalog()
        let function = InvokeFixture.deployed("team/fn")
        let heard = Mutex<[Bool]>([])
        catalog.onChange { id in
            let isThere = catalog.function(id) != nil
            heard.withLock { $0.append(isThere) }
        }
        catalog.put(function)
        catalog.remove(function.id)
        #expect(heard.withLock { $0 } == [true, false])
    }
}
