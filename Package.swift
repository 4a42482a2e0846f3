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
  ],
  targets: [
    // C: only what Swift can't import or can't do (hardware checksums, inline codec headers, ioctls).
    .target(name: "CBytes", path: "Sources/CBytes"),
    .target(
      name: "CCodecs", path: "Sources/CCodecs",
      linkerSettings: [.linkedLibrary("z"), .linkedLibrary("zstd")]),
    .target(name: "CFileIO", path: "Sources/CFileIO"),
    .target(name: "CFuse", path: "Mount/CFuse", linkerSettings: [.linkedLibrary("fuse3")]),

    room("Bytes", "CBytes"),
    room("Codecs", "CCodecs"),
    room("FileIO", "CFileIO", "Bytes"),
    room("Vault", "Bytes", "Codecs", "FileIO"),
    room("ImageFormats", "Bytes", "FileIO"),
    room("RecoveryTree", "Bytes", "FileIO", "Vault", "ImageFormats"),
    room("FuseMount", in: "Mount", "RecoveryTree", "CFuse"),
    room("Capture", "Bytes", "FileIO", "Vault", "ImageFormats"),
    room("Catalog", "Bytes", "FileIO", database),
    room(
      "Operations", "Bytes", "Codecs", "FileIO", "Vault", "ImageFormats", "Capture", "Catalog"),
    room("Identity", "Bytes", "FileIO", x509, crypto, asn1),
    room("Replication", "Bytes", "Codecs", "Vault", crypto),
    tool(
      "tidemark", "Operations", "RecoveryTree", "FuseMount", "Capture", "Vault", "ImageFormats",
      "Bytes", "Codecs", "FileIO", arguments),

    // C: shows the thread sanitizer the locks that Swift's Mutex takes.
    .target(name: "CThreadSanitizer", path: "Tests/CThreadSanitizer"),
    room("Support", in: "Tests", "Bytes", "Codecs", "FileIO", "Vault", "CThreadSanitizer"),
    tool("PowerLossMount", in: "Tests", "Support", "CFuse", "FileIO", "Bytes"),
    tool("MountServer", in: "Tests", "FuseMount", "RecoveryTree", "Vault"),
    tool("Benchmarks", in: "Tests", "Support", "CFuse", "Vault", "Codecs", "FileIO", "Bytes"),
    tests("TidyTests"),
    tests("BytesTests", "Bytes"),
    tests("CodecsTests", "Codecs"),
    tests("FileIOTests", "FileIO"),
    tests("VaultTests", "Vault", "FileIO", "Bytes", "Codecs"),
    tests("ImageFormatsTests", golden: ["Vectors"], "ImageFormats", "FileIO", "Bytes"),
    tests("RecoveryTreeTests", "RecoveryTree", "Vault", "FileIO", "Bytes"),
    tests("FuseMountTests", "FuseMount", "RecoveryTree", "Vault", "FileIO", "Bytes"),
    tests("CaptureTests", "Capture", "Vault", "ImageFormats", "FileIO", "Bytes", "Codecs"),
    tests("CatalogTests", "Catalog", "FileIO", "Bytes"),
    tests(
      "OperationsTests", "Operations", "Capture", "Vault", "ImageFormats", "FileIO", "Bytes",
      "Codecs"),
    tests("IdentityTests", "Identity", "FileIO", "Bytes"),
    tests("ReplicationTests", "Replication", "Vault", "FileIO", "Codecs", "Bytes"),
    tests("tidemarkTests", "tidemark", "Operations", "Vault", "FileIO", "Bytes"),
  ]
)
