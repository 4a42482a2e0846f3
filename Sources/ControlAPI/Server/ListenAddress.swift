/// Where the API can be reached.
public enum ListenAddress: Sendable {
  /// A socket in the file system: whoever its file's permissions let in may do everything.
  ///
  /// `group` may use it beside the owner; nil if only the owner may.
  case socket(path: String, group: UInt32?)
  /// HTTPS over TCP, TLS 1.3: whoever shows a token may do what its role may.
  ///
  /// Port 0 takes a free one. The certificate, with what leads to its authority, and its key are PEM.
  case https(host: String, port: Int, certificate: String, key: String)

  /// What HTTPS listens on unless another is set.
  public static let usualPort = 8443

  /// The longest path a socket can have: `sockaddr_un` has room for 108 bytes with the last a zero
  /// (unix(7)).
  public static let socketPathLimit = 107
}
