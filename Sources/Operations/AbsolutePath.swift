internal import FileIO

/// A path that means the same wherever it is used from; symbolic links in it stay.
public func absolute(_ path: String) throws(OperationError) -> String {
  var whole = path
  if !path.hasPrefix("/") {
    whole = try inSystem { () throws(IOError) in try FileSystem.currentDirectory() } + "/" + path
  }
  let parts = whole.split(separator: "/").filter { $0 != "." }
  // ".." is left in place: what it means depends on where symbolic links lead.
  return "/" + parts.joined(separator: "/")
}
