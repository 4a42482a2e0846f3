internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// How everything is and was.
  static let healthEndpoints: [Endpoint] = [
    .get("/v1/status", .reader) { call in try StatusDocument(call.service, at: .now()) },
    .get("/v1/machines/{name}/health", .reader) { call in
      let hours = try call.query("hours", or: 24, in: 0...Catalog.sampleSeconds / 3600)
      let start = Timestamp(seconds: Timestamp.now().seconds - hours * 3600)
      return try MachineHealthDocument(call.parameter("name"), in: call.service, since: start)
    },
  ]
}
