internal import FileIO
internal import Foundation
internal import Support

// Measures reading, opening, export, replication and branches side by side with others; Scripts/bench starts it and says how.

/// Tells what was measured on.
func describeMachine(_ settings: Settings, to report: Report) throws {
  func line(_ path: String, _ prefix: String) throws -> String {
    let text = try Program.require("cat", path)
    let line = text.split(separator: "\n").first { $0.hasPrefix(prefix) } ?? ""
    return line.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces)
  }
  let processors = ProcessInfo.processInfo.activeProcessorCount
  report.fact("processor", "\(processors) × \(try line("/proc/cpuinfo", "model name"))")
  report.fact("memory", try line("/proc/meminfo", "MemTotal"))
  report.fact("kernel", try Program.require("uname", "-sr").trimmingCharacters(in: .newlines))
  let load = try Program.require("cat", "/proc/loadavg").split(separator: " ").prefix(3)
  report.fact("load before", load.joined(separator: " "))
  for (name, program) in [
    ("QEMU", "qemu-img"), ("fio", "fio"), ("zstd", "zstd"), ("tidemark", Product.tidemark),
  ] {
    let output = try Program.require(program, "--version")
    report.fact(name, String(output.prefix { $0 != "\n" }))
  }
  report.fact("restic", try Program.require("restic", "version").trimmingCharacters(in: .newlines))
  report.fact("seed", String(settings.seed))
}

func measure(_ arguments: Arguments, _ report: Report) throws {
  let settings = arguments.settings
  try describeMachine(settings, to: report)
  let bench = try Workbench(size: settings.roomSize)
  report.progress("filling a disk of \(settings.imageSize >> 20) MiB with files of this machine")
  let pristine = try InputImage(settings, on: bench)
  report.fact(
    "disk", "\(pristine.size >> 20) MiB, \(pristine.dataSize >> 20) MiB of it data, ext4")
  report.fact(
    "between two points", "\(settings.writesPerPoint) random writes of 4 to 64 KiB of such data")
  report.fact(
    "page cache", "holds the files that are read through mounts, except in rows named cold")
  if !arguments.parts.isDisjoint(with: [.reads, .export]) {
    let subjects = try Subjects(pristine, settings, on: bench, report: report)
    if arguments.parts.contains(.reads) {
      try Reads(subjects: subjects, settings: settings, bench: bench, report: report).run()
    }
    if arguments.parts.contains(.export) {
      try Exports(subjects: subjects, settings: settings, bench: bench, report: report).run()
    }
  }
  if arguments.parts.contains(.opening) {
    try Openings(pristine: pristine, settings: settings, bench: bench, report: report).run()
  }
  if arguments.parts.contains(.replication) {
    try Replications(pristine: pristine, settings: settings, bench: bench, report: report).run()
  }
  if arguments.parts.contains(.branches) {
    try Branches(pristine: pristine, settings: settings, bench: bench, report: report).run()
  }
  report.finish(Budget.all(settings), measures: Measure.all(settings, places: ""))
}

do {
  let words = CommandLine.arguments
  if words.count == 4, words[1] == "--pass-through" {
    try Passthrough.serve(words[2], at: words[3])
    exit(0)
  }
  let arguments = try Arguments(Array(words.dropFirst()))
  try measure(arguments, Report(isJSON: arguments.isJSON))
} catch is Arguments.Misuse {
  FileHandle.standardError.write(
    Data(
      "usage: Benchmarks [--quick] [--json] [--seed N] [--only reads,export,opening,replication,branches]\n"
        .utf8))
  exit(64)
} catch {
  FileHandle.standardError.write(Data("bench: \(error)\n".utf8))
  exit(1)
}
