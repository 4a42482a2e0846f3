import Glibc

/// Serves a directory through a disk whose power can fail; see `Options.usage`.

guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
  print(Options.usage)
  exit(64)
}
do {
  try serve(options)
} catch {
  print("PowerLossMount: \(error)")
  exit(1)
}
