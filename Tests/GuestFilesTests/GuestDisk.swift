import FileIO
import Foundation
import Support

/// A small disk with an ext4 file system made from a directory of files. Needs no root.
final class GuestDisk {
  let home: TemporaryDirectory
  var path: String { home.file("disk.raw") }

  /// Makes it of contents by path; a path with a slash at its end is a directory.
  init(_ files: [String: String], isPartitioned: Bool = true) throws {
    home = try TemporaryDirectory("guest")
    let tree = home.file("tree")
    try FileSystem.system.makeDirectory(tree)
    for (name, text) in files {
      let full = tree + name
      let directory = name.hasSuffix("/") ? full : FileSystem.parent(of: full)
      try Program.require("mkdir", "-p", directory)
      if !name.hasSuffix("/") {
        try File(full, .creating(permissions: 0o644)).write(Array(text.utf8), at: 0)
      }
    }
    let part = home.file("part")
    try File(part, .creating(permissions: 0o600)).truncate(to: 16 << 20)
    try Program.require("mkfs.ext4", "-q", "-F", "-d", tree, part)
    let disk = try File(path, .creating(permissions: 0o600))
    try disk.truncate(to: isPartitioned ? 17 << 20 : 16 << 20)
    if isPartitioned {
      try Program.require("bash", "-c", "echo '2048,,L,*' | sfdisk -q \"$1\"", "sfdisk", path)
    }
    try Program.require(
      "dd", "if=\(part)", "of=\(path)", "bs=1M", "seek=\(isPartitioned ? 1 : 0)", "conv=notrunc",
      "status=none")
  }
}

/// What a usual server has.
let usualFiles: [String: String] = [
  "/etc/os-release": "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
  "/etc/hostname": "web01\n",
  "/etc/fstab": "# <device>\nUUID=0 / ext4 defaults 0 1\n/dev/sdb1 /srv xfs defaults 0 2\n",
  "/boot/vmlinuz-6.1.0-9-amd64": "k", "/boot/vmlinuz-6.1.0-10-amd64": "k",
  "/boot/initrd.img-6.1.0-9-amd64": "i",
  "/usr/lib/modules/6.1.0-10-amd64/modules.builtin": "kernel/drivers/block/virtio_blk.ko\n",
  "/usr/lib/modules/6.1.0-10-amd64/modules.dep":
    "kernel/drivers/net/other.ko: kernel/drivers/net/virtio_net.ko\n",
  "/boot/grub/grub.cfg":
    "menuentry 'x' {\n  linux /boot/vmlinuz-6.1.0-10-amd64 root=/dev/sda1 ro quiet\n}\n",
  "/usr/lib/systemd/systemd": "e",
  "/etc/network/interfaces": "iface ens3 inet static\n  address 192.0.2.7/24\n",
  "/etc/netplan/01.yaml":
    "ethernets:\n  e:\n    addresses: [198.51.100.4/24]\n    nameservers:\n      addresses: [9.9.9.9]\n",
]
