internal import FileIO
internal import Glibc

/// A disk with Debian 12 on it that boots by itself: a partition table, one ext4 file system, extlinux,
/// systemd, a serial console where root needs no password, qemu-guest-agent, an address by DHCP on any
/// adapter, and SQLite.
///
/// Its service `ledger` adds a row to the database `/srv/ledger.db` twice a second. When it starts it has
/// SQLite check the whole file, and writes `ledger: ok, N rows` or what is wrong to the console.
///
/// It is made once, by debootstrap from the mirror that apt uses, which takes a minute or two, and then kept in
/// `TIDEMARK_TEST_CACHE` (default `/var/cache/tidemark-tests`). Needs root.
public enum DebianDisk {
  /// Bytes of the disk.
  public static let size: UInt64 = 1 << 30
  /// Where its one partition begins.
  public static let partitionOffset: UInt64 = 1 << 20
  /// Changes with what is on it, so that an older one is not taken for it.
  private static let version = 2

  /// What making it and running it needs.
  public static var isAvailable: Bool {
    Available.root
      && Available.programs(
        "debootstrap", "extlinux", "sfdisk", "mkfs.ext4", "qemu-system-x86_64", "flock")
  }

  /// Puts a copy at `path`, sparse.
  public static func copy(to path: String) throws {
    try Program.require("cp", "--sparse=always", "--reflink=auto", try kept(), path)
  }

  /// The path of the disk that is kept, which nobody writes to.
  public static func kept() throws -> String {
    let directory = environment("TIDEMARK_TEST_CACHE") ?? "/var/cache/tidemark-tests"
    let image = "\(directory)/debian-12-\(version).img"
    if FileSystem.system.exists(image) { return image }
    try Program.require("mkdir", "-p", directory)
    try Program.require(
      "flock", image + ".lock", "bash", "-euc", script, "bash", image, "\(size)",
      "\(partitionOffset)", seconds: 900)
    return image
  }

  /// Makes the disk at the path that is its first argument; the second is its size, the third where the
  /// partition begins.
  private static let script = """
    [ ! -e "$1" ] || exit 0
    work=$(mktemp -d "$1.XXXXXX")
    leave() { umount "$work/mnt" 2>/dev/null || true; rm -rf "$work"; }
    trap leave EXIT
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | head -n1)
    debootstrap --variant=minbase \
      --include=linux-image-cloud-amd64,systemd-sysv,udev,e2fsprogs,qemu-guest-agent,dbus,iproute2,sqlite3 \
      bookworm "$work/root" "${mirror:-http://deb.debian.org/debian}"
    cd "$work"
    echo guest >root/etc/hostname
    echo '/dev/vda1 / ext4 errors=remount-ro 0 1' >root/etc/fstab
    chroot root passwd -d root
    printf '%s\\n' '[Match]' 'Name=en* eth*' '[Network]' 'DHCP=ipv4' 'IPv6AcceptRA=no' \
      >root/etc/systemd/network/80-any.network
    printf '%s\\n' '[Unit]' 'Description=Rows in a database' '[Service]' \
      'ExecStart=/usr/local/sbin/ledger' 'Restart=always' '[Install]' 'WantedBy=multi-user.target' \
      >root/etc/systemd/system/ledger.service
    printf '%s\\n' '#!/bin/sh' 'cd /srv' \
      'q="create table if not exists t(n integer primary key, at text);"' \
      'sqlite3 ledger.db "pragma journal_mode=wal; $q" >/dev/null' \
      'state=$(sqlite3 ledger.db "pragma integrity_check")' \
      'echo "ledger: $state, $(sqlite3 ledger.db "select count(*) from t") rows" >/dev/console' \
      'while sqlite3 ledger.db "insert into t(at) values(datetime())"; do sleep 0.5; done' \
      >root/usr/local/sbin/ledger
    chmod 755 root/usr/local/sbin/ledger
    chroot root systemctl enable systemd-networkd ledger
    mkdir -p root/boot/extlinux mnt
    printf '%s\\n' 'DEFAULT debian' 'PROMPT 0' 'TIMEOUT 0' 'LABEL debian' '  LINUX /vmlinuz' \
      '  INITRD /initrd.img' '  APPEND root=/dev/vda1 ro console=ttyS0 quiet' \
      >root/boot/extlinux/extlinux.conf
    rm -rf root/var/cache/apt/archives/*.deb root/var/lib/apt/lists/*
    truncate -s "$2" disk
    echo "$(($3 / 512)),,L,*" | sfdisk -q disk
    truncate -s "$(($2 - $3))" part
    mkfs.ext4 -q -F -O '^64bit' -d root part
    mount -o loop part mnt
    extlinux --install mnt/boot/extlinux
    umount mnt
    dd if=part of=disk bs=1M seek="$(($3 / 1048576))" conv=sparse,notrunc status=none
    dd if=/usr/lib/EXTLINUX/mbr.bin of=disk conv=notrunc status=none
    sync disk
    mv disk "$1"
    """
}

/// A machine that runs from a disk, in QEMU without any help of the processor; killed when the value ends.
public final class Guest: Sendable {
  /// The socket of the guest's own agent.
  public let agentSocket: String
  /// The socket of QEMU's monitor.
  public let monitorSocket: String
  private let directory: TemporaryDirectory
  private let program: Program

  /// Starts the machine; its boot takes 15 to 60 seconds.
  ///
  /// - Parameters:
  ///   - disk: the disk that it runs from.
  ///   - format: what QEMU is to take that for.
  ///   - memoryMiB: its memory.
  ///   - keepsWrites: whether what it writes reaches the disk.
  /// - Throws: `IOError` if QEMU can't be started.
  public init(
    disk: String, format: String = "raw", memoryMiB: Int = 512, keepsWrites: Bool = true
  ) throws {
    // Paths of sockets are short.
    directory = try TemporaryDirectory("guest", in: "/tmp")
    agentSocket = directory.file("agent")
    monitorSocket = directory.file("monitor")
    program = try Program(
      "qemu-system-x86_64",
      [
        "-machine", "pc,accel=tcg", "-m", "\(memoryMiB)", "-display", "none", "-nodefaults",
        "-serial", "file:\(directory.file("console"))",
        "-drive",
        "file=\(disk),if=virtio,format=\(format),cache=writeback,snapshot=\(keepsWrites ? "off" : "on")",
        "-device", "virtio-serial",
        "-chardev", "socket,path=\(agentSocket),server=on,wait=off,id=agent",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-qmp", "unix:\(monitorSocket),server=on,wait=off",
      ])
  }

  /// What it wrote to its serial console.
  public var console: String {
    let bytes = try? FileSystem.system.readFile(directory.file("console"), limit: 1 << 24)
    return String(decoding: bytes ?? [], as: UTF8.self)
  }

  /// Takes its power away.
  public func kill() { program.killGroup() }

  /// Runs a shell command in the guest, once its agent answers, and does not wait for its end.
  ///
  /// - Throws: if the agent does not answer within two minutes.
  public func start(_ command: String) throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while true {
      do { return try attempt(command) } catch {
        guard ContinuousClock.now < deadline, program.isRunning else { throw error }
        usleep(200_000)
      }
    }
  }

  private func attempt(_ command: String) throws {
    let deadline = ContinuousClock.now + .seconds(3)
    var stream = try ByteStream(connectingTo: agentSocket, until: deadline)
    let mark = Int.random(in: 1...1_000_000)
    let sync = #"{"execute":"guest-sync-delimited","arguments":{"id":\#(mark)}}"# + "\n"
    try stream.send([0xFF] + Array(sync.utf8), until: deadline)
    while let line = try stream.line(limit: 65536, until: deadline) {
      if line.first == 0xFF, String(decoding: line, as: UTF8.self).contains("\(mark)") { break }
    }
    let text = command.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    let run =
      #"{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","\#(text)"]}}"# + "\n"
    try stream.send(Array(run.utf8), until: deadline)
    let answer = try stream.line(limit: 65536, until: deadline) ?? []
    let words = String(decoding: answer, as: UTF8.self)
    guard words.contains(#""pid""#) else {
      throw IOError("run a command in the guest by", words, code: EPROTO)
    }
  }
}
