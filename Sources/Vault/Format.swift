internal import Bytes

/// The constants of the format on disk. `Vault.docc/Format.md` specifies what they mean.
enum Format {
  /// Version of the format this code writes, and the newest it reads.
  static let version: UInt16 = 1

  /// Records start at multiples of this, so that a scan finds the next one behind damage.
  static let recordAlignment = 64
  /// Bytes of a record's header.
  static let recordHeaderSize = 128
  /// Bytes before a cell's stored bytes: their checksum.
  static let cellChecksumSize = 4
  /// The longest record: a header and four cells that did not shrink.
  static let largestBlockRecord = aligned(
    recordHeaderSize + Layout.cellsPerBlock * (cellChecksumSize + Layout.cellSize))
  /// The longest payload of a mark or sync.
  static let largestPayload = 1 << 20

  /// Bytes of an index page.
  static let indexPageSize = 4096
  /// Bytes of an index page's header.
  static let indexPageHeaderSize = 16
  /// Bytes of an entry or fence in an index page.
  static let indexEntrySize = 40
  /// Entries or fences in a full page.
  static let entriesPerPage = (indexPageSize - indexPageHeaderSize) / indexEntrySize

  /// Disks of a machine at the most.
  static let diskLimit = 64
  /// Bytes of a MANIFEST entry at the most.
  static let manifestEntryLimit = 1 << 20
  /// Bytes of a MANIFEST at the most.
  static let manifestSizeLimit = 1 << 30

  /// Rounds up to where the next record may start.
  @inline(__always)
  static func aligned(_ length: Int) -> Int {
    (length + recordAlignment - 1) & ~(recordAlignment - 1)
  }
}

/// How far the writer lets the parts of a log grow. Readers take any size that fits the format.
struct LogLimits: Sendable {
  /// A segment is sealed at this length …
  var segmentSize: UInt64 = 64 << 20
  /// … or at this many records …
  var segmentRecords = 65_536
  /// … or at this many index entries (a zero record can need several).
  var segmentEntries = 262_144
  /// Records wait at most this long, in bytes, for their group commit.
  var commitSize = 16 << 20
  /// Entries of a run file at the most: what one root page can reach is 102³.
  var runEntries = 1_000_000
  /// Entries of a run of the lowest tier at the most; see `RunMerger`.
  var lowestTier: UInt64 = 16_384
}

/// Whose log something belongs to; seeds every checksum, so that bytes of another log never fit.
struct LogIdentity: Hashable, Sendable {
  let vault: Identifier
  let machine: Identifier
  let seed: UInt32

  init(vault: Identifier, machine: Identifier) {
    self.vault = vault
    self.machine = machine
    var checksum = Checksum()
    for part in [vault.high, vault.low, machine.high, machine.low] { checksum.add(part.bigEndian) }
    seed = checksum.value
  }
}
