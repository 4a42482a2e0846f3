internal import Foundation
internal import Support

/// A way of using a disk that is measured with fio.
struct Measure {
  let name: String
  /// `IOPS`, or `MB/s`.
  let unit: String
  let arguments: [String]
  /// Whether it writes; else the disk can't be changed by it.
  var writes = false

  /// Random reads of 4 KiB anywhere on the disk (direct), random reads where it held data at first
  /// (direct; the places are in the file `places`), and one pass over all of it.
  static func all(_ settings: Settings, places: String) -> [Measure] {
    let random = ["--rw=randread", "--bs=4k", "--direct=1", "--runtime=\(settings.seconds)"]
    let anywhere =
      random + ["--time_based", "--ramp_time=\(settings.seconds / 3)", "--randrepeat=1"]
    let inData = random + ["--read_iolog=\(places)", "--replay_no_stall=1"]
    let alone = ["--ioengine=psync"]
    let eight = ["--ioengine=libaio", "--iodepth=8"]
    let pass = ["--rw=read", "--bs=1M", "--ioengine=psync"]
    return [
      Measure(name: "random-4k-depth-1", unit: "IOPS", arguments: anywhere + alone),
      Measure(name: "random-4k-depth-8", unit: "IOPS", arguments: anywhere + eight),
      Measure(name: "random-4k-in-data-depth-1", unit: "IOPS", arguments: inData + alone),
      Measure(name: "random-4k-in-data-depth-8", unit: "IOPS", arguments: inData + eight),
      Measure(name: "sequential-1m-direct", unit: "MB/s", arguments: pass + ["--direct=1"]),
      // fio drops what the kernel cached of the file first; the kernel reads ahead.
      Measure(name: "sequential-1m-buffered", unit: "MB/s", arguments: pass + ["--direct=0"]),
    ]
  }

  /// Random writes of 4 KiB anywhere on a disk, unflushed and with an fsync(2) behind each, then random reads
  /// of what was written and what was there before.
  static func onBranch(_ settings: Settings) -> [Measure] {
    let random = [
      "--bs=4k", "--direct=1", "--runtime=\(settings.seconds)", "--time_based", "--norandommap",
      "--randrepeat=1", "--ramp_time=\(settings.seconds / 3)",
    ]
    let alone = ["--ioengine=psync"]
    let eight = ["--ioengine=libaio", "--iodepth=8"]
    let writing = random + ["--rw=randwrite"]
    let reading = random + ["--rw=randread"]
    return [
      Measure(
        name: "branch-write-4k-depth-1", unit: "IOPS", arguments: writing + alone, writes: true),
      Measure(
        name: "branch-write-4k-depth-8", unit: "IOPS", arguments: writing + eight, writes: true),
      Measure(
        name: "branch-write-4k-synced", unit: "IOPS", arguments: writing + alone + ["--fsync=1"],
        writes: true),
      Measure(name: "branch-read-4k-depth-1", unit: "IOPS", arguments: reading + alone),
      Measure(name: "branch-read-4k-depth-8", unit: "IOPS", arguments: reading + eight),
    ]
  }

  private struct Output: Decodable {
    struct Job: Decodable {
      struct Numbers: Decodable {
        let iops: Double
        let bw_bytes: Double
      }
      let read: Numbers
      let write: Numbers
    }
    let jobs: [Job]
  }

  struct NoResult: Error, CustomStringConvertible {
    let output: String
    var description: String { "fio gave no result: \(output)" }
  }

  /// Measures once in all ways, one after the other.
  static func run(_ measures: [Measure], on path: String) throws -> [Double] {
    var arguments = ["--output-format=json"]
    if !measures.contains(where: \.writes) { arguments.append("--readonly") }
    for measure in measures {
      arguments += ["--name=\(measure.name)", "--stonewall", "--filename=\(path)"]
      arguments += measure.arguments
      if measure.arguments.contains(where: { $0.hasPrefix("--read_iolog") }) {
        arguments.append("--replay_redirect=\(path)")
      }
    }
    let result = try Program("fio", arguments).wait(seconds: 1200)
    // Notes of fio may precede the JSON.
    let json = result.output.drop { $0 != "{" }
    guard result.succeeded,
      let jobs = try? JSONDecoder().decode(Output.self, from: Data(json.utf8)).jobs,
      jobs.count == measures.count
    else { throw NoResult(output: result.report) }
    return zip(measures, jobs).map { measure, job in
      let numbers = measure.writes ? job.write : job.read
      return measure.unit == "IOPS" ? numbers.iops : numbers.bw_bytes / 1e6
    }
  }

  /// Writes the list of places for the reads in data, as fio reads it ("Trace file format v2" of
  /// fio(1)).
  static func writePlaces(_ changes: Changes, to path: String, count: Int) throws {
    var changes = changes
    var text = "fio version 2 iolog\n/disk add\n/disk open\n"
    for _ in 0..<count { text += "/disk read \(changes.dataPage()) 4096\n" }
    text += "/disk close\n"
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }
}
