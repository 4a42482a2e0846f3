internal import Bytes
internal import ControlAPI
internal import Operations
internal import Vault

/// A machine, as text and as JSON.
struct MachineReport {
  let machine: MachineSummary

  var document: MachineDocument { MachineDocument(machine) }

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

  var document: MachineListDocument { MachineListDocument(machines) }

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
