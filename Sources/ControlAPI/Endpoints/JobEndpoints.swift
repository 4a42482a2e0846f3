internal import Catalog
internal import Operations

extension Endpoint {
  /// Entries that a list gives at the most, and unless another number is asked for.
  static let listLimit: ClosedRange<Int64> = 1...1000
  static let usualList: Int64 = 100

  /// Jobs and events.
  static let jobEndpoints: [Endpoint] = [
    .get("/v1/jobs", .reader) { call in
      let (after, limit) = try page(call)
      return JobListDocument(try call.service.jobs.jobs(after: after, limit: limit))
    },
    .get("/v1/jobs/{id}", .reader) { call in
      JobDocument(try call.service.jobs.job(try call.number("id")))
    },
    .post("/v1/jobs/{id}/cancel", .operator, status: 202) { call in
      JobDocument(try call.service.jobs.cancel(try call.number("id"), by: call.operator))
    },
    .get("/v1/events", .reader) { call in
      let (after, limit) = try page(call)
      return EventListDocument(try call.service.events(after: after, limit: limit))
    },
  ]

  private static func page(_ call: Call) throws -> (after: Int64, limit: Int) {
    let after = try call.query("after", or: 0, in: 0...Int64.max)
    return (after, Int(try call.query("limit", or: usualList, in: listLimit)))
  }
}
