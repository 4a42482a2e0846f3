import Codecs
import FileIO
import Support
import Testing
import Vault

@testable import Operations

/// Goal: the vault that is meant is found, or the message says how to name one.
@Suite struct VaultLookupTests {
  let directory: TemporaryDirectory
  let registry: VaultRegistry

  init() throws {
    directory = try TemporaryDirectory("lookup")
    registry = VaultRegistry(configurationHome: nil, home: directory.path)
  }

  func make(_ name: String) throws -> Vault {
    try InitializeVault(
      directory: directory.file(name), name: nil, codec: .zstd, group: nil
    ).run(registry: registry).vault
  }

  func find(_ option: String?, variable: String? = nil) throws -> String {
    try VaultLookup(option: option, variable: variable, registry: registry).directory()
  }

  func failure(_ body: () throws -> Void) throws -> OperationError? {
    do {
      try body()
      return nil
    } catch let error as OperationError { return error }
  }

  @Test("a vault is found by directory, friendly name, variable, or as the only one")
  func findsVaults() throws {
    let one = try make("one")
    #expect(try find(nil) == one.path)
    let two = try make("two")
    #expect(try find(two.path) == two.path)
    #expect(try find("one") == one.path)
    #expect(try find(nil, variable: "two") == two.path)
    #expect(try find("one", variable: "two") == one.path)
    let error = try #require(try failure { _ = try find(nil) })
    #expect(error.code == .noVault)
    #expect(error.message.contains("'one', 'two'"))
  }

  @Test("a name that stands for nothing is no vault")
  func unknownNames() throws {
    #expect(try failure { _ = try find("nothing") }?.code == .noVault)
    #expect(try failure { _ = try find(nil) }?.code == .noVault)
    #expect(try failure { _ = try find("", variable: "") }?.code == .noVault)
  }

  @Test("a friendly name that is taken is refused while its vault exists")
  func takenNames() throws {
    let first = try InitializeVault(
      directory: directory.file("a"), name: "main", codec: .zlib, group: nil
    ).run(registry: registry)
    #expect(first.isRegistered)
    let again = InitializeVault(
      directory: directory.file("b"), name: "main", codec: .zlib, group: nil)
    #expect(try failure { _ = try again.run(registry: registry) }?.code == .refused)
    #expect(!FileSystem.system.exists(directory.file("b")))
    try Program.require("rm", "-r", directory.file("a"))
    #expect(try again.run(registry: registry).isRegistered)
    #expect(try find("main") == directory.file("b"))
  }

  @Test("a vault is made although its name can't be noted, and the remark says so")
  func noHome() throws {
    let made = try InitializeVault(
      directory: directory.file("v"), name: nil, codec: .none, group: nil
    ).run(registry: VaultRegistry(configurationHome: "relative", home: nil))
    #expect(!made.isRegistered)
    #expect(made.remark?.contains("--vault") == true)
    #expect(made.vault.description.name == "v")
  }

  @Test("a damaged list of names is told of, not replaced")
  func damagedRegistry() throws {
    _ = try make("one")
    let path = try #require(registry.path)
    let file = try File(path, .writing)
    try file.truncate(to: 5)
    #expect(try failure { _ = try find("one") }?.message.contains(path) == true)
    let made = try InitializeVault(
      directory: directory.file("two"), name: nil, codec: .zstd, group: nil
    ).run(registry: registry)
    #expect(!made.isRegistered)
    #expect(try FileSystem.system.status(path).size == 5)
  }

  @Test("a directory's name becomes a friendly name that keeps the rules")
  func defaultNames() {
    let names = [
      ("/srv/vault", "vault"), ("/srv/my vault", "my-vault"), ("/srv/.hidden_", "hidden"),
      ("/srv/äö", "vault"), ("/", "vault"), ("/x/latest", "latest"),
      ("/x/" + String(repeating: "a", count: 80), String(repeating: "a", count: 63)),
    ]
    for (path, name) in names { #expect(InitializeVault.defaultName(for: path) == name) }
  }
}
