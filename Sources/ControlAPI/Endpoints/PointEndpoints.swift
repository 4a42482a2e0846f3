internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// The recovery points of a machine.
  static let pointEndpoints: [Endpoint] = [
    .get("/v1/machines/{name}/points", .reader) { call in
      let name = call.parameter("name")
      return PointListDocument(
        machine: name, points: try MachineSummary.named(name, in: call.service.vault).points)
    },
    .get("/v1/machines/{name}/points/{point}", .reader) { call in
      let (name, spelling) = (call.parameter("name"), call.parameter("point"))
      let found = try PointLookup(spelling, of: name, in: call.service.vault, now: .now())
      return PointDocument(
        found.point, of: name,
        asked: PointDocument.Asked(found.resolved, spelling: spelling))
    },
  ]
}
