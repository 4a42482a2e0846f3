internal import FileIO

extension Machine {
  /// Bytes that the machine's files take where the vault lies, whether they can be read or not.
  public func occupiedBytes() throws(VaultError) -> UInt64 {
    try translated { () throws(IOError) in
      var sum: UInt64 = 0
      for name in try system.list(directory) {
        do throws(IOError) { sum += try system.status(directory + "/" + name).allocated } catch {
          // A writer may remove what it merged in the meantime.
          guard error.isMissing else { throw error }
        }
      }
      return sum
    }
  }
}
