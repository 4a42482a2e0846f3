/// Text that a guest wrote, or its disks hold, for people to read.
public enum GuestText {
  /// The text without what a terminal would take for orders: the control characters of ASCII and Latin-1
  /// (ECMA-48), but for ends of lines and tabs.
  public static func readable(_ text: String) -> String {
    let kept = text.unicodeScalars.filter { scalar in
      scalar == "\n" || scalar == "\t" || !(0..<32 ~= scalar.value || 127..<160 ~= scalar.value)
    }
    return String(String.UnicodeScalarView(kept))
  }
}
