internal import FileIO

/// UEFI for QEMU's machines, as distributions install it.
struct Firmware {
  /// The code, which is only read.
  let code: String
  /// What its variables begin as; each machine has its own copy.
  let variables: String

  /// Pairs of both: Debian's, Fedora's, Arch's.
  private static let places = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
  ]

  /// What is installed here; nil if nothing is.
  static func installed() -> Firmware? {
    let found = places.first {
      FileSystem.system.exists($0.0) && FileSystem.system.exists($0.1)
    }
    return found.map { Firmware(code: $0.0, variables: $0.1) }
  }

  /// Gives a machine its variables, unless it has some.
  func provideVariables(_ files: QemuFiles) throws(ComputeError) {
    guard !FileSystem.system.exists(files.variables) else { return }
    try inFiles { () throws(IOError) in
      let bytes = try FileSystem.system.readFile(variables, limit: 16 << 20)
      try FileSystem.system.replaceFile(files.variables, with: bytes, permissions: 0o600)
    }
  }
}
