import Bytes
import Compute
import FileIO
import Support

/// A plan of a small machine.
func plan(
  disk: String, in directory: String, network: MachinePlan.Network = .isolated
) throws -> MachinePlan {
  let forwards = network == .user ? [MachinePlan.Forward(guest: 22)] : []
  return MachinePlan(
    identifier: .random(), name: "web01, tested", cores: 2, memory: 512 << 20, firmware: .bios,
    disks: [MachinePlan.Disk(name: "system", path: disk, isSystem: true)],
    adapters: [
      MachinePlan.Adapter(
        network: network, subnet: IPv4Subnet("10.99.0.0/24"), address: IPv4Address("10.99.0.77"),
        hardware: HardwareAddress(high: 3, low: 4, adapter: 0), forwards: forwards)
    ], directory: directory, isDrill: true)
}

/// A program that says it is QEMU, and then does something else.
func impostor(_ directory: borrowing TemporaryDirectory, _ script: String) throws -> String {
  let path = directory.file("impostor")
  let text =
    "#!/bin/sh\n[ \"$1\" = --version ] && echo 'QEMU emulator version 0' && exit 0\n" + script
  try File(path, .creating(permissions: 0o755)).write(Array(text.utf8), at: 0)
  try Program.require("chmod", "755", path)
  return path
}
