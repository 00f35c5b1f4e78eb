import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

extension SoftHSM {
    @Suite("A data key wrapped in the token")
    struct Wrapping {
        private let key = (0..<32).map { UInt8($0) }
        private let context = Array("casemate/dek/1\0f-1".utf8)

        @Test("comes back; twice wrapped is not the same twice")
        func roundTrip() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    let id = try await provider.activeKey(mayCreate: true)
                    let wrapped = try await provider.wrap(key, context: context)
                    #expect(wrapped.keyId == id && id.hasPrefix("pkcs11:") && id.count == 7 + 32)
                    #expect(wrapped.bytes.count == 12 + 32 + 16)
                    #expect(try await provider.unwrap(wrapped, context: context) == key)
                    #expect(try await provider.wrap(key, context: context).bytes.prefix(12) != wrapped.bytes.prefix(12))
                    for length in [0, 1, 16, 33, 1024] {
                        let other = [UInt8](repeating: 7, count: length)
                        #expect(try await provider.unwrap(provider.wrap(other, context: []), context: []) == other)
                    }
                }
                // In another session, as after a restart.
                try await withProvider(token.address()) { provider in
                    let id = try await provider.activeKey(mayCreate: false)
                    #expect(try await provider.wrap(key, context: context).keyId == id)
                }
            }
        }

        @Test("opens with its own context, bytes and key only")
        func tampered() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    let old = try await provider.activeKey(mayCreate: true)
                    let wrapped = try await provider.wrap(key, context: context)
                    let other = try await provider.rotate()

                    var wrong: [(WrappedKey, [UInt8])] = [(wrapped, []), (wrapped, context + [0]), (wrapped, context.dropLast())]
                    for at in wrapped.bytes.indices {
                        var flipped = wrapped
                        flipped.bytes[at] ^= 1 << UInt8(at % 8)
                        wrong.append((flipped, context))
                    }
                    for length in 0..<wrapped.bytes.count {
                        wrong.append((WrappedKey(keyId: old, bytes: Array(wrapped.bytes.prefix(length))), context))
                        wrong.append((WrappedKey(keyId: old, bytes: Array(wrapped.bytes.suffix(length))), context))
                    }
                    wrong.append((WrappedKey(keyId: old, bytes: wrapped.bytes + [0]), context))
                    for id in [other, "", "pkcs11:", "pkcs11:00", "file:1", old.uppercased(), old + "00"] {
                        wrong.append((WrappedKey(keyId: id, bytes: wrapped.bytes), context))
                    }
                    for (wrapped, context) in wrong {
                        await #expect(throws: KeyProviderError.wrongKey) { try await provider.unwrap(wrapped, context: context) }
                    }
                    #expect(try await provider.unwrap(wrapped, context: context) == key)
                }
            }
        }

        @Test("opens after a rotation, and no more after its key was destroyed")
        func rotated() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    var wrapped: [WrappedKey] = []
                    for _ in 0..<4 {
                        let id = try await provider.rotate()
                        #expect(try await provider.activeKey(mayCreate: false) == id)
                        wrapped.append(try await provider.wrap(key, context: context))
                        #expect(wrapped.last?.keyId == id)
                    }
                    for one in wrapped { #expect(try await provider.unwrap(one, context: context) == key) }

                    #expect(try await provider.destroy(allBut: [wrapped[1].keyId, wrapped[3].keyId, "pkcs11:00"]) == 2)
                    for (index, one) in wrapped.enumerated() {
                        if index % 2 == 1 {
                            #expect(try await provider.unwrap(one, context: context) == key)
                        } else {
                            await #expect(throws: KeyProviderError.wrongKey) { try await provider.unwrap(one, context: context) }
                        }
                    }
                    #expect(try await provider.destroy(allBut: [wrapped[3].keyId]) == 1)
                    #expect(try await provider.destroy(allBut: [wrapped[3].keyId]) == 0)
                    #expect(try token.tool("--list-objects", "--type", "secrkey").components(separatedBy: "Secret Key Object").count == 2)
                }
            }
        }

        @Test("destroys nothing when none of what is to be kept is there, nor keys of another label")
        func kept() async throws {
            try await withToken { token in
                try await withProvider(token.address(object: "other")) { _ = try await $0.activeKey(mayCreate: true) }
                try await withProvider(token.address()) { provider in
                    let id = try await provider.activeKey(mayCreate: true)
                    for keep in [[], ["pkcs11:00"], ["pkcs11:zz", "file:1"], ["pkcs11:"]] as [Set<String>] {
                        let reason = try await unavailable { _ = try await provider.destroy(allBut: keep) }
                        #expect(reason.contains("none was destroyed"))
                    }
                    #expect(try await provider.destroy(allBut: [id]) == 0)
                    // Another provider wraps now.
                    #expect(try await provider.destroy(allBut: ["file:1"]) == 1)
                    #expect(try await provider.destroy(allBut: ["file:1"]) == 0)
                }
                try await withProvider(token.address(object: "other")) { _ = try await $0.activeKey(mayCreate: false) }
            }
        }

        @Test("the key can't be read, nor taken out, nor do anything else")
        func attributes() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { _ = try await $0.activeKey(mayCreate: true) }
                let list = try token.tool("--list-objects", "--type", "secrkey")
                #expect(list.contains("AES length 32"))
                #expect(list.contains("Usage:      encrypt, decrypt\n"), "\(list)")
                #expect(list.contains("Access:     sensitive, always sensitive, never extractable, local"), "\(list)")
                // Without login it isn't even seen.
                let stranger = try Workshop.run(
                    "/usr/bin/pkcs11-tool", ["--module", TestToken.library, "--token-label", token.label, "--list-objects"])
                #expect(!stranger.contains("Secret Key"))
                #expect(throws: Workshop.Failed.self) {
                    try token.tool("--read-object", "--type", "secrkey", "--label", "kek", "--output-file", "/dev/null")
                }
            }
        }

        @Test("a key that an operator made wraps until the first rotation, and opens after it")
        func operators() async throws {
            try await withToken { token in
                try token.makeKey(id: "ffff")
                // Neither is ours: another size, another label.
                try token.makeKey(id: "01", type: "AES:16")
                try token.makeKey(id: "02", label: "kek2")
                try await withProvider(token.address()) { provider in
                    #expect(try await provider.activeKey(mayCreate: true) == "pkcs11:ffff")
                    let wrapped = try await provider.wrap(key, context: context)
                    let next = try await provider.rotate()
                    #expect(try await provider.wrap(key, context: context).keyId == next)
                    #expect(try await provider.unwrap(wrapped, context: context) == key)
                }
            }
        }

        @Test("nothing is wrapped with a key that the token would hand out")
        func extractable() async throws {
            try await withToken { token in
                try token.makeKey(id: "01", "--extractable")
                try await withProvider(token.address()) { provider in
                    for reason in [
                        try await unavailable { _ = try await provider.activeKey(mayCreate: true) },
                        try await unavailable { _ = try await provider.wrap(key, context: context) },
                    ] { #expect(reason.contains("CKA_EXTRACTABLE") && reason.contains("pkcs11:01")) }
                    _ = try await provider.rotate()
                    _ = try await provider.wrap(key, context: context)
                }
            }
        }

        @Test("two keys of one id: what either wrapped opens")
        func sameId() async throws {
            try await withToken { token in
                try token.makeKey(id: "01")
                try await withProvider(token.address()) { provider in
                    let first = try await provider.wrap(key, context: context)
                    try token.makeKey(id: "01")
                    var wrapped = [first]
                    for _ in 0..<8 { wrapped.append(try await provider.wrap(key, context: context)) }
                    for one in wrapped { #expect(try await provider.unwrap(one, context: context) == key) }
                }
            }
        }

        @Test("200 at once")
        func concurrent() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    _ = try await provider.activeKey(mayCreate: true)
                    let opened = try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
                        for index in 0..<200 {
                            group.addTask {
                                let key = [UInt8](repeating: UInt8(index), count: 32)
                                let wrapped = try await provider.wrap(key, context: [UInt8(index)])
                                return (index, try await provider.unwrap(wrapped, context: [UInt8(index)]))
                            }
                        }
                        return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
                    }
                    #expect(opened.count == 200)
                    for (index, key) in opened { #expect(key == [UInt8](repeating: UInt8(index), count: 32)) }
                }
            }
        }

        @Test("another server's rotation is followed, and what it wrapped opens")
        func twoServers() async throws {
            try await withToken { token in
                try await withProvider(token.address()) { provider in
                    let old = try await provider.activeKey(mayCreate: true)
                    _ = try await provider.wrap(key, context: context)
                    // Another process adds a key with a greater id, then takes the old one away.
                    let newer = "7fffffffffffffff0000000000000001"
                    try token.makeKey(id: newer)
                    let wrapped = try await provider.wrap(key, context: context)
                    #expect(wrapped.keyId == "pkcs11:" + newer)
                    try token.tool("--delete-object", "--type", "secrkey", "--id", String(old.dropFirst(7)))
                    #expect(try await provider.unwrap(wrapped, context: context) == key)
                    let next = try await provider.rotate()
                    #expect(next > wrapped.keyId)
                }
            }
        }
    }
}
