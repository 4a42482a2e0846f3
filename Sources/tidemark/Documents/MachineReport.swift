internal import Bytes
internal import Operations
internal import Vault

/// A machine, as text and as JSON.
struct MachineReport {
  let machine: MachineSummary

  struct Disk: Encodable {
    let number: DiskNumber
    let source: String
    let capture: String
    let format: String
    let size: UInt64?
  }

  struct Document: Encodable {
    let id: String
    let name: String
    let operatingSystem: String?
    let disks: [Disk]
    let points: Int
    let oldestPoint: String?
    let newestPoint: String?
    let windowEnd: String?
    let storedBytes: UInt64
    let problem: String?
  }

  var document: Document {
    let disks = machine.configuration?.disks ?? []
    return Document(
      id: machine.id.description, name: machine.name,
      operatingSystem: machine.configuration?.operatingSystem.name,
      disks: disks.map { disk in
        Disk(
          number: disk.number, source: disk.path, capture: disk.capture.name,
          format: disk.format.name, size: machine.size(of: disk.number))
      },
      points: machine.points.count, oldestPoint: machine.points.first?.id,
      newestPoint: machine.points.last?.id, windowEnd: machine.windowEnd?.iso8601,
      storedBytes: machine.stored, problem: machine.problem?.message)
  }

  var text: String {
    var facts = [("Machine", machine.name), ("Id", machine.id.description)]
    if let configuration = machine.configuration {
      facts.append(("System", configuration.operatingSystem.name))
      for disk in configuration.disks {
        let size = machine.size(of: disk.number).map { ", " + Words.size($0) } ?? ""
        facts.append(
          ("Disk \(disk.number)", "\(disk.path) (\(disk.format.name), \(disk.capture.name)\(size))")
        )
      }
    }
    facts.append(("Recovery points", String(machine.points.count)))
    if let oldest = machine.points.first, let newest = machine.points.last {
      facts += [("Oldest", oldest.id), ("Newest", newest.id)]
    }
    facts.append(("Stored", Words.size(machine.stored)))
    if let problem = machine.problem { facts.append(("Problem", problem.message)) }
    return Words.facts(facts)
  }
}

/// The machines of a vault, as text and as JSON.
struct MachineListReport {
  let machines: [MachineSummary]

  struct Document: Encodable {
    let machines: [MachineReport.Document]
  }

  var document: Document {
    Document(machines: machines.map { MachineReport(machine: $0).document })
  }

  var text: String {
    guard !machines.isEmpty else { return "The vault has no machines yet." }
    let rows = machines.map { machine in
      let disks = machine.configuration.map { String($0.disks.count) } ?? "?"
      let newest = machine.points.last?.id ?? (machine.problem == nil ? "none" : "unreadable")
      return [
        machine.name, machine.configuration?.operatingSystem.name ?? "?", disks,
        String(machine.points.count), newest, Words.size(machine.stored),
      ]
    }
    return Words.table(["MACHINE", "SYSTEM", "DISKS", "POINTS", "NEWEST POINT", "STORED"], rows)
  }
}
