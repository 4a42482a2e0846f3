import Foundation
import Testing

/// Who may import what. SwiftPM does not hold a target to the dependencies it declares, so these
/// tests do: imports against this table, and the manifest against the imports.
struct FencesTests {
  /// Every module of the package with all it may import. A new room gets a row here, on purpose.
  static let mayImport: [String: Set<String>] = [
    "Bytes": ["CBytes"],
    "Codecs": ["CCodecs"],
    "FileIO": ["CFileIO", "Bytes", "Dispatch", "Glibc"],
    "Vault": library.union(["Bytes", "Codecs", "FileIO"]),
    "MachineSockets": library.union(["FileIO"]),
    "Compute": library.union(["Bytes", "FileIO", "MachineSockets"]),
    "GuestFiles": library.union(["Bytes", "CExt2", "Compute", "FileIO", "ImageFormats"]),
    "ImageFormats": library.union(["Bytes", "FileIO"]),
    "RecoveryTree": library.union(["Bytes", "FileIO", "Glibc", "Vault", "ImageFormats"]),
    "DiskServers": library.union(["Bytes", "FileIO", "Glibc"]),
    "FuseMount": [
      "CFuse", "Bytes", "DiskServers", "FileIO", "RecoveryTree", "Glibc", "Dispatch",
      "Synchronization",
    ],
    "Capture": library.union(["Bytes", "FileIO", "Vault", "ImageFormats"]),
    "Catalog": library.union(["Bytes", "FileIO", "GRDB"]),
    "Operations": library.union([
      "Bytes", "Codecs", "FileIO", "Vault", "ImageFormats", "Capture", "Catalog", "Compute",
      "DiskServers", "GuestFiles", "Identity", "Replication", "ReplicationService",
    ]),
    "Identity": library.union(["Bytes", "Crypto", "FileIO", "Glibc", "SwiftASN1", "X509"]),
    "Replication": library.union(["Bytes", "Codecs", "Crypto", "Vault"]),
    "ReplicationService": library.union([
      "Bytes", "FileIO", "Glibc", "Identity", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS",
      "Replication", "Vault",
    ]),
    "Agent": library.union([
      "Bytes", "Capture", "FileIO", "Glibc", "Identity", "MachineSockets", "Replication",
      "ReplicationService", "Vault",
    ]),
    "ControlAPI": library.union([
      "AsyncHTTPClient", "Bytes", "Capture", "Catalog", "FileIO", "Glibc", "HTTPTypes",
      "HummingbirdCore", "HummingbirdTLS", "Identity", "ImageFormats", "Logging", "NIOCore",
      "NIOHTTP1", "NIOPosix", "NIOSSL", "Operations", "Replication", "Vault",
    ]),
    "tidemark": library.union([
      "Agent", "ArgumentParser", "Bytes", "Capture", "Catalog", "Codecs", "ControlAPI",
      "DiskServers", "FileIO", "FuseMount", "Glibc", "GuestFiles", "Identity", "ImageFormats",
      "Logging", "Operations", "RecoveryTree",
      "Replication", "ReplicationService", "Vault",
    ]),
    "Support": [
      "Bytes", "CThreadSanitizer", "Codecs", "FileIO", "Glibc", "Synchronization", "Vault",
    ],
    "PowerLossMount": ["Bytes", "CFuse", "FileIO", "Glibc", "Support", "Synchronization"],
  ]

  /// What comes with Swift and does not touch the file system by itself (`fileSystemCalls` sees to
  /// what of FoundationEssentials does).
  static let library: Set<String> = ["Dispatch", "FoundationEssentials", "Synchronization"]

  /// What comes with Swift and appears in no manifest.
  static let toolchain: Set<String> = [
    "Dispatch", "Foundation", "FoundationEssentials", "Glibc", "PackageDescription", "Swift",
    "Synchronization", "Testing",
  ]

  /// The modules that each target's files import.
  static let imports: [String: Set<String>] = {
    var found: [String: Set<String>] = [:]
    for file in Tree.swift where file.path != "Package.swift" {
      for line in file.code {
        let pattern =
          /^\s*(?:@\w+\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
        guard let match = line.firstMatch(of: pattern) else { continue }
        found[file.module, default: []].insert(String(match.1))
      }
    }
    return found
  }()

  @Test("every module of the product imports only what its row of the table allows")
  func fences() {
    for module in Set(Tree.product.map(\.module)).union(["Support", "PowerLossMount"]).sorted() {
      guard let allowed = Self.mayImport[module] else {
        Issue.record("\(module) has no row in the table of FencesTests")
        continue
      }
      let strangers = Self.imports[module, default: []].subtracting(allowed).sorted()
      #expect(strangers.isEmpty, "\(module) may not import \(strangers.joined(separator: ", "))")
    }
  }

  @Test("foreign and C modules have a single importer each, besides the tests' own mounts")
  func singleImporters() {
    let owners = [
      "CBytes": "Bytes", "CCodecs": "Codecs", "CExt2": "GuestFiles", "CFileIO": "FileIO",
      "CFuse": "FuseMount",
      "CThreadSanitizer": "Support",
      "GRDB": "Catalog", "ArgumentParser": "tidemark",
      "X509": "Identity", "SwiftASN1": "Identity",
      "AsyncHTTPClient": "ControlAPI", "HTTPTypes": "ControlAPI", "HummingbirdCore": "ControlAPI",
      "HummingbirdTLS": "ControlAPI",
    ]
    for (module, names) in Self.imports where !["PowerLossMount", "Benchmarks"].contains(module) {
      for name in names {
        #expect(
          owners[name, default: module] == module, "only \(owners[name] ?? "") imports \(name)")
        if name.hasPrefix("NIO") {
          #expect(["ReplicationService", "ControlAPI", "BlobStore"].contains(module), "\(module)")
        }
      }
    }
  }

  @Test("the manifest declares for each target exactly what its files import")
  func manifest() throws {
    let manifest = try #require(Tree.swift.first { $0.path == "Package.swift" }).text
    let declaration =
      /\b(room|tests|tool)\(\s*"(\w+)"((?:\s*,\s*(?:\w+: )?(?:"\w+"|\w+|\[[^\]]*\]))*)\s*\)/
    // Products of other packages are named by constants of the manifest.
    let constant = /let (\w+): Target\.Dependency = \.product\(\s*name: "(\w+)"/
    let products = Dictionary(
      manifest.matches(of: constant).map { (String($0.1), String($0.2)) },
      uniquingKeysWith: { first, _ in first })
    var targets: Set<String> = []
    for match in manifest.matches(of: declaration) {
      var declared = Set(
        match.3.replacing(/\w+: (?:"\w+"|\[[^\]]*\])/, with: "").matches(of: /"(\w+)"/).map {
          String($0.1)
        })
      let plain = match.3.replacing(/"\w+"|\w+:/, with: "")
      for word in plain.matches(of: /\w+/) {
        if let product = products[String(word.output)] { declared.insert(product) }
      }
      if match.1 == "tests" { declared.insert("Support") }
      let name = String(match.2)
      targets.insert(name)
      // A room that imports nothing at all is not furnished yet.
      guard let imported = Self.imports[name]?.subtracting(Self.toolchain) else { continue }
      let (more, less) = (declared.subtracting(imported), imported.subtracting(declared))
      #expect(more.isEmpty, "\(name) declares but does not import \(more.sorted())")
      #expect(less.isEmpty, "\(name) imports but does not declare \(less.sorted())")
    }
    let missing = Set(Self.imports.keys).subtracting(targets)
    #expect(missing.isEmpty, "the manifest's form has changed: \(missing.sorted()) not found in it")
  }

  @Test("nobody but FileIO and FuseMount calls the file system by itself")
  func fileSystemCalls() {
    let calls =
      /(?:^|[^\w.]|Glibc\.)(open|openat|creat|read|pread|readv|write|pwrite|writev|lseek|fsync|fdatasync|ftruncate|truncate|stat|fstat|lstat|statfs|statvfs|opendir|readdir|mkdir|rmdir|unlink|rename|link|symlink|readlink|realpath|chmod|chown|flock|fcntl|ioctl|access|fopen|mmap|mkstemp|mkdtemp|getcwd)\((?!\w+:)/
    for file in Tree.product where !["FileIO", "FuseMount"].contains(file.module) {
      let reachesCalls = file.code.contains {
        $0.contains(/import\s+(\w+\s+)?(Glibc|Foundation\w*)\b/)
      }
      for (index, line) in file.code.enumerated() where reachesCalls && line.contains(calls) {
        Issue.record("\(file.path):\(index + 1) calls the file system; ask FileIO to")
      }
      for (index, line) in file.code.enumerated()
      where line.contains(/\b(FileManager|FileHandle|contentsOf:\s*URL|contentsOfFile)\b/) {
        Issue.record("\(file.path):\(index + 1) goes around FileIO")
      }
    }
  }
}
