// swift-tools-version: 6.2
import PackageDescription

/// The settings every Swift target is built with: language mode 6, no warning left standing, and
/// imports that do not leak a dependency's types to the next room.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

func room(
  _ name: String, in folder: String = "Sources", data: [String] = [], _ needs: Target.Dependency...
) -> Target {
  .target(
    name: name, dependencies: needs, path: "\(folder)/\(name)", exclude: data,
    swiftSettings: strict)
}

func tests(
  _ name: String, golden: [String] = [], _ needs: Target.Dependency...
) -> Target {
  .testTarget(
    name: name, dependencies: ["Support"] + needs, path: "Tests/\(name)", exclude: golden,
    swiftSettings: strict)
}

func tool(_ name: String, in folder: String = "Sources", _ needs: Target.Dependency...) -> Target {
  .executableTarget(
    name: name, dependencies: needs, path: "\(folder)/\(name)", swiftSettings: strict)
}

let arguments: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")
let database: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let httpServer: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let httpsServer: Target.Dependency = .product(name: "HummingbirdTLS", package: "hummingbird")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioHTTP: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")

let package = Package(
  name: "tidemark",
  products: [.executable(name: "tidemark", targets: ["tidemark"])],
  dependencies: [
    // Parses the command line, and writes its help and shell completions.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // SQLite for the catalog: transactions, migrations, and errors that are values.
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    // Makes and checks the certificates of services, agents and relays.
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    // Keys, signatures and hashes.
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // The encoding of certificates and keys.
    .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
    // Serves the control API: HTTP over sockets and TLS with limits and an orderly end.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    // Asks the control API, over a socket too.
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    // The fields and statuses that the server speaks in.
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    // What a service reports, structured.
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    // Many connections on few threads.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    // TLS 1.3 for these connections.
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  ],
  targets: [
    // C: only what Swift can't import or can't do (hardware checksums, inline codec headers, ioctls).
    .target(name: "CBytes", path: "Sources/CBytes"),
    .target(
      name: "CCodecs", path: "Sources/CCodecs",
      linkerSettings: [.linkedLibrary("z"), .linkedLibrary("zstd")]),
    .target(name: "CFileIO", path: "Sources/CFileIO"),
    // Reads ext2, ext3 and ext4 as e2fsprogs does: what a guest's disk says of its boot.
    .target(
      name: "CExt2", path: "Sources/CExt2",
      linkerSettings: [.linkedLibrary("ext2fs"), .linkedLibrary("com_err")]),
    .target(name: "CFuse", path: "Mount/CFuse", linkerSettings: [.linkedLibrary("fuse3")]),

    room("Bytes", "CBytes"),
    room("Codecs", "CCodecs"),
    // Starts programs by posix_spawn(3): what guards a freeze has to outlive its parent, in a session of its
    // own and with no descriptor of it, and its callers are plain threads with deadlines.
    room("FileIO", "CFileIO", "Bytes"),
    room("Vault", "Bytes", "Codecs", "FileIO"),
    // What a running machine says of itself: the agent holds its writers with it, Compute runs it.
    room("MachineSockets", "FileIO"),
    room("Compute", "Bytes", "FileIO", "MachineSockets"),
    room("GuestFiles", "Bytes", "CExt2", "Compute", "FileIO", "ImageFormats"),
    room("ImageFormats", "Bytes", "FileIO"),
    room("RecoveryTree", "Bytes", "FileIO", "Vault", "ImageFormats"),
    room("DiskServers", "Bytes", "FileIO"),
    room("FuseMount", in: "Mount", "RecoveryTree", "DiskServers", "FileIO", "Bytes", "CFuse"),
    room("Capture", "Bytes", "FileIO", "Vault", "ImageFormats"),
    room("Catalog", "Bytes", "FileIO", database),
    // Looks into a guest's disks before it is recovered (GuestFiles), and runs it (Compute).
    room(
      "Operations", "Bytes", "Codecs", "FileIO", "Vault", "ImageFormats", "Capture", "Catalog",
      "Compute", "DiskServers", "GuestFiles", "Identity", "Replication", "ReplicationService"),
    room("Identity", "Bytes", "FileIO", x509, crypto, asn1),
    room("Replication", "Bytes", "Codecs", "Vault", crypto),
    room(
      "ControlAPI", data: ["openapi.json"], "Operations", "Catalog", "Identity", "Capture",
      "ImageFormats", "Replication", "Vault", "FileIO", "Bytes", httpServer, httpsServer,
      httpClient, httpTypes, logging, nioCore, nioPosix, nioHTTP, nioSSL),
    room(
      "ReplicationService", "Bytes", "FileIO", "Identity", "Replication", "Vault", nioCore,
      nioPosix, nioTLS, nioSSL),
    room(
      "Agent", "Bytes", "Capture", "FileIO", "Identity", "MachineSockets", "Replication",
      "ReplicationService", "Vault"),
    tool(
      "tidemark", "Agent", "ControlAPI", "DiskServers", "Operations", "Catalog", "Identity",
      "RecoveryTree", "FuseMount", "GuestFiles", "Capture", "Replication", "ReplicationService",
      "Vault", "ImageFormats", "Bytes",
      "Codecs", "FileIO", arguments, logging),

    // C: shows the thread sanitizer the locks that Swift's Mutex takes.
    .target(name: "CThreadSanitizer", path: "Tests/CThreadSanitizer"),
    room("Support", in: "Tests", "Bytes", "Codecs", "FileIO", "Vault", "CThreadSanitizer"),
    tool("PowerLossMount", in: "Tests", "Support", "CFuse", "FileIO", "Bytes"),
    tool(
      "MountServer", in: "Tests", "Support", "FuseMount", "DiskServers", "RecoveryTree", "Vault",
      "FileIO", "Bytes"),
    tool(
      "Benchmarks", in: "Tests", "Support", "CFuse", "DiskServers", "Vault", "Codecs", "FileIO",
      "Bytes", "Identity", "Replication", "ReplicationService"),
    tests("TidyTests"),
    tests("BytesTests", "Bytes"),
    tests("CodecsTests", "Codecs"),
    tests("FileIOTests", "FileIO"),
    tests("VaultTests", "Vault", "FileIO", "Bytes", "Codecs"),
    tests("ImageFormatsTests", golden: ["Vectors"], "ImageFormats", "FileIO", "Bytes"),
    tests("RecoveryTreeTests", "RecoveryTree", "Vault", "FileIO", "Bytes"),
    tests(
      "FuseMountTests", "FuseMount", "DiskServers", "RecoveryTree", "Vault", "FileIO", "Bytes"),
    tests("CaptureTests", "Capture", "Vault", "ImageFormats", "FileIO", "Bytes", "Codecs"),
    tests("ComputeTests", "Compute", "FileIO", "Bytes"),
    tests("GuestFilesTests", "GuestFiles", "Compute", "FileIO", "ImageFormats", "Bytes"),
    tests("CatalogTests", "Catalog", "FileIO", "Bytes"),
    tests("IdentityTests", "Identity", "FileIO", "Bytes"),
    tests("ReplicationTests", "Replication", "Vault", "FileIO", "Codecs", "Bytes"),
    tests(
      "ControlAPITests", "ControlAPI", "Operations", "Catalog", "Compute", "Capture", "Identity",
      "Vault",
      "FileIO",
      "Bytes", "Codecs", logging),
    tests(
      "OperationsTests", "Operations", "Capture", "Catalog", "Compute", "Identity", "Replication",
      "Vault",
      "ImageFormats",
      "FileIO",
      "Bytes", "Codecs"),
    tests(
      "AgentTests", "Agent", "Bytes", "Capture", "Catalog", "Codecs", "Compute", "FileIO",
      "Identity",
      "Operations", "Replication",
      "ReplicationService", "Vault"),
    tests(
      "ReplicationServiceTests", "ReplicationService", "Replication", "Identity", "FileIO", "Bytes"),
    tests(
      "tidemarkTests", "tidemark", "Catalog", "ControlAPI", "Operations", "Vault", "FileIO",
      "Bytes", logging),
  ]
)
