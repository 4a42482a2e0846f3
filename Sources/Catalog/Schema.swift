internal import Bytes
internal import FileIO
internal import GRDB

/// The tables, and how older ones become these.
///
/// A migration that was released is never changed: what comes later is added as another one. Every
/// table is STRICT, so that a column holds what its declaration says.
enum Schema {
  /// `tdmk`: tells a catalog from any other SQLite database (SQLite, "Database File Format" 1.3.17).
  private static let applicationID: Int32 = 0x7464_6D6B

  static func prepare(_ queue: DatabaseQueue, _ path: String) throws {
    try queue.read { database in
      let found = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
      // A first start that was cut off may have made the list of migrations, and nothing else.
      let tables =
        try Int.fetchOne(
          database, sql: "SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'grdb_migrations'")
        ?? 0
      guard found == applicationID || tables == 0 else {
        throw CatalogError.damaged(path, "it is the database of another program")
      }
      let finding = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer"
      guard finding == "ok" else { throw CatalogError.damaged(path, finding) }
      guard try !migrator.hasBeenSuperseded(database) else { throw CatalogError.newer(path) }
    }
    try migrator.migrate(queue)
  }

  private static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1") { database in
      try database.execute(sql: "PRAGMA application_id = \(applicationID)")
      for table in [identities, access, history, machines] { try database.execute(sql: table) }
    }
    migrator.registerMigration("2") { database in
      try database.execute(sql: "ALTER TABLE machineSettings ADD COLUMN bandwidthHours TEXT")
    }
    migrator.registerMigration("3") { database in
      try database.execute(sql: "ALTER TABLE agent ADD COLUMN revoked INTEGER")
    }
    migrator.registerMigration("4") { database in
      try database.execute(sql: recovery)
      try database.execute(sql: "ALTER TABLE job ADD COLUMN operator TEXT")
    }
    migrator.registerMigration("5") { database in
      try database.execute(sql: targets)
      // So that a drill has somewhere to go from the first day on; an operator may delete it.
      try database.execute(
        sql: "INSERT INTO network (name, kind, subnet, created) VALUES (?, 'isolated', ?, ?)",
        arguments: [
          NetworkRecord.usualName, NetworkRecord.usualSubnet, Timestamp.now().rawValue,
        ])
    }
    migrator.registerMigration("6") { database in
      try database.execute(sql: "ALTER TABLE recovery ADD COLUMN stopped TEXT")
    }
    migrator.registerMigration("7") { database in
      try database.execute(sql: "ALTER TABLE network ADD COLUMN forwards TEXT")
    }
    migrator.registerMigration("8") { database in
      try database.execute(sql: "ALTER TABLE recovery ADD COLUMN replaced TEXT")
    }
    return migrator
  }

  private static let identities = """
    CREATE TABLE registrationKey (
      id TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
      created INTEGER NOT NULL, expires INTEGER NOT NULL, usesLeft INTEGER NOT NULL,
      machine TEXT
    ) STRICT;
    CREATE TABLE certificate (
      serial TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL, subject TEXT NOT NULL,
      notBefore INTEGER NOT NULL, notAfter INTEGER NOT NULL, revoked INTEGER
    ) STRICT;
    CREATE INDEX certificateOfSubject ON certificate (subject);
    """

  private static let access = """
    CREATE TABLE accessToken (
      id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
      digest TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER
    ) STRICT;
    """

  private static let history = """
    CREATE TABLE job (
      id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, machine TEXT,
      state TEXT NOT NULL, tasks TEXT NOT NULL, progress TEXT, error TEXT, result TEXT,
      created INTEGER NOT NULL, started INTEGER, ended INTEGER
    ) STRICT;
    CREATE TABLE event (
      id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, severity TEXT NOT NULL,
      code TEXT NOT NULL, machine TEXT, message TEXT NOT NULL
    ) STRICT;
    CREATE TABLE healthError (
      subject TEXT NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL, message TEXT NOT NULL,
      advice TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (subject, code)
    ) STRICT;
    CREATE TABLE healthSample (
      machine TEXT NOT NULL, time INTEGER NOT NULL, seconds INTEGER NOT NULL, rpoSeconds INTEGER,
      churn TEXT NOT NULL, uploaded INTEGER NOT NULL, reading INTEGER NOT NULL,
      compressing INTEGER NOT NULL, sending INTEGER NOT NULL, storing INTEGER NOT NULL,
      PRIMARY KEY (machine, time)
    ) STRICT;
    CREATE INDEX healthSampleTime ON healthSample (time);
    """

  private static let machines = """
    CREATE TABLE agent (
      machine TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hostName TEXT NOT NULL,
      operatingSystem TEXT NOT NULL, version TEXT NOT NULL, addresses TEXT NOT NULL,
      disks TEXT NOT NULL, findings TEXT NOT NULL, enrolled INTEGER NOT NULL, lastContact INTEGER
    ) STRICT;
    CREATE TABLE server (
      id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, version TEXT NOT NULL,
      addresses TEXT NOT NULL, port INTEGER NOT NULL, enrolled INTEGER NOT NULL,
      lastContact INTEGER
    ) STRICT;
    CREATE TABLE relayedSession (
      machine TEXT NOT NULL PRIMARY KEY, session TEXT NOT NULL, relay TEXT NOT NULL
    ) STRICT;
    CREATE TABLE machineSettings (
      machine TEXT NOT NULL PRIMARY KEY, isPaused INTEGER NOT NULL, cycleSeconds INTEGER NOT NULL,
      applicationSeconds INTEGER NOT NULL, processServer TEXT, bandwidth INTEGER,
      rpoSeconds INTEGER NOT NULL, address TEXT, enabled INTEGER,
      resyncWindow TEXT
    ) STRICT;
    CREATE TABLE sourceNotes (machine TEXT NOT NULL PRIMARY KEY, notes TEXT NOT NULL) STRICT;
    CREATE TABLE resynchronisation (
      machine TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL,
      since INTEGER NOT NULL, isHeld INTEGER NOT NULL, job INTEGER
    ) STRICT;
    """

  private static let targets = """
    CREATE TABLE network (
      name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, kind TEXT NOT NULL, bridge TEXT, subnet TEXT,
      created INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE machineTarget (
      machine TEXT NOT NULL PRIMARY KEY, name TEXT, cores INTEGER, memory INTEGER, firmware TEXT,
      systemDisk INTEGER, diskOrder TEXT, adapters TEXT NOT NULL
    ) STRICT;
    ALTER TABLE agent ADD COLUMN hardware TEXT;
    """

  private static let recovery = """
    CREATE TABLE recovery (
      machine TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, running TEXT,
      failed TEXT, origin TEXT, keepsDisks INTEGER NOT NULL, isFenced INTEGER NOT NULL,
      job INTEGER, branch TEXT, formerBranch TEXT, point TEXT, request TEXT, drill INTEGER, since INTEGER NOT NULL,
      operator TEXT, failure TEXT
    ) STRICT;
    CREATE TABLE drill (
      id INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, name TEXT NOT NULL,
      outcome TEXT NOT NULL, branch TEXT, point TEXT, started INTEGER NOT NULL, ready INTEGER,
      expires INTEGER, ended INTEGER, notes TEXT, operator TEXT, endedBy TEXT, report TEXT
    ) STRICT;
    CREATE INDEX drillOfMachine ON drill (machine);
    """
}
