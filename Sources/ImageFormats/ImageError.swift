internal import FileIO

/// What went wrong with a disk image: a code for programs, a message for people.
///
/// The message names the file and the field, says what was found there and what to do about it.
public struct ImageError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller may want to tell apart.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// The disk has no bytes, or not a whole number of 512-byte sectors.
    case invalidSize
    /// The disk is larger than the format can hold.
    case tooLarge
    /// The file is not of the format it is said to be.
    case notAnImage
    /// The file is of the format, but its content contradicts itself or ends early.
    case damaged
    /// The file is sound, but of a kind that can't be read: a differencing VHD, a later version.
    case unsupported
    /// The image breaks a rule of the place it is meant for.
    case ruleBroken
    /// The output exists already, and replacing it was not asked for.
    case alreadyExists
    /// Another process is writing the same output.
    case busy
    /// The caller cancelled; what was written can be continued.
    case cancelled
    /// No room is left where the output lies; what was written can be continued.
    case full
    /// The source of an export could not be read; `cause` is its error.
    case source
    /// An image does not hold the bytes it should.
    case different
    /// A system call failed; `cause` is the `IOError`.
    case io
  }

  /// The kind of failure.
  public let code: Code
  /// What failed, on what, why, and what to do: one or more sentences.
  public let message: String
  /// The error underneath, where there is one: an `IOError`, or what a source threw.
  public let cause: (any Error)?

  /// The message.
  public var description: String { message }

  init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    (self.code, self.message, self.cause) = (code, message, cause)
  }

  /// A system call that failed on an image.
  init(_ error: IOError) {
    self.init(.io, error.description, cause: error)
  }

  /// The image at `path` contradicts itself; `what` is a sentence without its full stop.
  static func damaged(_ path: String, _ what: String) -> ImageError {
    ImageError(
      .damaged,
      "Cannot read the image '\(path)': \(what). The file is damaged or was cut short; "
        + "copy it again from where it came.")
  }

  /// The image at `path` is of a kind that is not read; `what` says why and what to do.
  static func unsupported(_ path: String, _ what: String) -> ImageError {
    ImageError(.unsupported, "Cannot read the image '\(path)': \(what)")
  }
}

/// Runs `body`, and turns the failure of a system call into an `ImageError`.
func onDisk<T: ~Copyable>(_ body: () throws(IOError) -> T) throws(ImageError) -> T {
  do throws(IOError) { return try body() } catch { throw ImageError(error) }
}

/// A number as hexadecimal, `0x0000beef`: at least eight digits.
func hexadecimal(_ value: some FixedWidthInteger & UnsignedInteger) -> String {
  let digits = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
}

/// Text from an image, made fit for a message or a terminal: control characters are replaced.
func printable(_ text: String) -> String {
  var clean = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
    clean.append(isControl ? "\u{FFFD}" : scalar)
  }
  return String(clean)
}
