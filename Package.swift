// swift-tools-version: 6.2
import PackageDescription

// Targets stand in layer order: a target may import only targets above it (Tests/layers.py checks that).
// Versions are exact, so that two machines build the same server.

let ours: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]

let package = Package(
    name: "casemate",
    products: [
        .executable(name: "casemate", targets: ["casemate"]),
        .executable(name: "casemate-warden", targets: ["casemate-warden"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/vapor/jwt-kit", exact: "5.7.1"),
        .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        // The warden's side: no Foundation, no NIO.
        .target(name: "CLinux", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
        .systemLibrary(name: "CSHA", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CAres", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
        .systemLibrary(name: "CPSL", pkgConfig: "libpsl", providers: [.apt(["libpsl-dev"])]),
        .systemLibrary(name: "CPCRE", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CP11Kit", pkgConfig: "p11-kit-1", providers: [.apt(["libp11-kit-dev"])]),
        .target(name: "CasemateWire", exclude: ["PROTOCOL.md"], swiftSettings: ours),
        .target(name: "CasemateModel", swiftSettings: ours),
        .target(name: "CasemateLinux", dependencies: ["CLinux"], swiftSettings: ours),
        .target(
            name: "CasemateWarden", dependencies: ["CLinux", "CSHA", "CSeccomp", "CasemateWire", "CasemateLinux"], swiftSettings: ours),
        .executableTarget(name: "casemate-warden", dependencies: ["CasemateLinux", "CasemateWarden"], swiftSettings: ours),

        // The server's side.
        .target(name: "CasemateSchema", dependencies: ["CPCRE", "CasemateModel"], swiftSettings: ours),
        // libcrack has no pkg-config file; the dictionary is Debian's own.
        .systemLibrary(name: "CCrack", providers: [.apt(["libcrack2-dev", "cracklib-runtime"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CasemateAWS", dependencies: ["CCurl", "CSHA"], swiftSettings: ours),
        .target(
            name: "CasemateStore",
            dependencies: [
                "CLinux", "CasemateModel", "CasemateLinux", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: ours
        ),
        .target(
            name: "CasemateVault",
            dependencies: [
                "CLinux", "CP11Kit", "CCrack", "CasemateModel", "CasemateLinux", "CasemateAWS", "CasemateStore",
                .product(name: "Crypto", package: "swift-crypto"), .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: ours
        ),
        .target(
            name: "CasemateIdentity",
            dependencies: [
                "CasemateModel", "CasemateLinux", "CasemateAWS", "CasemateStore", "CasemateVault",
                .product(name: "Crypto", package: "swift-crypto"), .product(name: "JWTKit", package: "jwt-kit"),
            ],
            swiftSettings: ours
        ),
        .target(
            name: "CasemateSandbox",
            dependencies: [
                "CLinux", "CAres", "CasemateWire", "CasemateModel", "CasemateLinux", "CasemateVault",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
            ] + nio,
            swiftSettings: ours
        ),
        .target(
            name: "CasemateInvoke",
            dependencies: [
                "CLinux", "CZlib", "CasemateWire", "CasemateModel", "CasemateSchema", "CasemateStore", "CasemateVault", "CasemateIdentity",
                "CasemateSandbox",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ] + nio,
            swiftSettings: ours
        ),
        .target(
            name: "CasemateDeploy",
            dependencies: [
                "CLinux", "CPSL", "CasemateWire", "CasemateModel", "CasemateSchema", "CasemateLinux", "CasemateStore", "CasemateVault",
                "CasemateSandbox",
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: ours
        ),
        .target(
            name: "CasemateServer",
            dependencies: [
                "CLinux", "CasemateModel", "CasemateLinux", "CasemateAWS", "CasemateStore", "CasemateVault", "CasemateIdentity",
                "CasemateSandbox", "CasemateInvoke", "CasemateDeploy", "CasemateSchema", "CasemateWire",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"), .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "Logging", package: "swift-log"),
            ] + nio,
            swiftSettings: ours
        ),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .executableTarget(
            name: "casemate",
            dependencies: [
                "CLinux", "CArchive", "CasemateModel", "CasemateSchema", "CasemateLinux", "CasemateStore", "CasemateVault",
                "CasemateIdentity", "CasemateDeploy",
                "CasemateServer",
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: ours
        ),
        .testTarget(name: "CasemateWireTests", dependencies: ["CasemateWire"], swiftSettings: ours),
        .testTarget(name: "CasemateModelTests", dependencies: ["CasemateModel"], swiftSettings: ours),
        .testTarget(name: "CasemateSchemaTests", dependencies: ["CasemateModel", "CasemateSchema"], swiftSettings: ours),
        .testTarget(name: "CasemateLinuxTests", dependencies: ["CasemateLinux"], swiftSettings: ours),
        .testTarget(name: "CasemateWardenTests", dependencies: ["CasemateLinux", "CasemateWire", "CasemateWarden"], swiftSettings: ours),
        .testTarget(name: "CasemateAWSTests", dependencies: ["CasemateAWS"], exclude: ["Support/Python"], swiftSettings: ours),
        .testTarget(name: "CasemateStoreTests", dependencies: ["CasemateModel", "CasemateLinux", "CasemateStore"], swiftSettings: ours),
        .testTarget(
            name: "CasemateVaultTests",
            dependencies: [
                "CP11Kit", "CasemateModel", "CasemateStore", "CasemateVault", .product(name: "Crypto", package: "swift-crypto"),
            ],
            exclude: ["PKCS11/FaultyModule"], swiftSettings: ours
        ),
        .testTarget(
            name: "CasemateIdentityTests",
            dependencies: ["CasemateModel", "CasemateVault", "CasemateIdentity", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: ours),
        .testTarget(
            name: "CasemateSandboxTests",
            dependencies: [
                "CasemateModel", "CasemateWire", "CasemateVault", "CasemateSandbox", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "X509", package: "swift-certificates"), .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            swiftSettings: ours
        ),
        .testTarget(
            name: "CasemateInvokeTests",
            dependencies: [
                "CasemateModel", "CasemateVault", "CasemateInvoke", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: ours
        ),
        .testTarget(name: "CasemateDeployTests", dependencies: ["CasemateModel", "CasemateDeploy"], swiftSettings: ours),
        .testTarget(
            name: "CasemateServerTests",
            dependencies: [
                "CasemateModel", "CasemateAWS", "CasemateStore", "CasemateVault", "CasemateIdentity", "CasemateSandbox", "CasemateInvoke",
                "CasemateDeploy", "CasemateServer", .product(name: "Yams", package: "Yams"),
                .product(name: "HTTPTypes", package: "swift-http-types"), .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Golden"],
            swiftSettings: ours
        ),
    ],
    swiftLanguageModes: [.v6]
)
