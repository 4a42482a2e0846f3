internal import Bytes
internal import Capture
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// The machines of the vault, and what is done to them.
  static let machineEndpoints: [Endpoint] = [
    .get("/v1/machines", .reader) { call in
      MachineListDocument(try call.service.overviews(at: .now()))
    },
    .post("/v1/machines", .administrator, status: 201) {
      (call: Call, body: NewMachineDocument) in
      let machine = try body.operation().run(in: call.service.writable)
      call.service.note(
        .info, "machine-added", machine: machine.name, "Machine '\(machine.name)' was added.")
      return MachineDocument(machine)
    },
    .get("/v1/machines/{name}", .reader) { call in
      try MachineDocument(call.parameter("name"), in: call.service)
    },
    .delete("/v1/machines/{name}", .administrator) { call in
      RemarksDocument(try call.service.remove(call.parameter("name")))
    },
    .post("/v1/machines/{name}/replicate", .operator, status: 202) {
      (call: Call, body: ReplicationOptionsDocument) in
      JobDocument(try replicate(call.parameter("name"), body.options, in: call.service))
    },
  ]

  /// Starts the job of a replication; what can be refused at once is.
  private static func replicate(
    _ name: String, _ options: CaptureOptions, in service: VaultService
  ) throws -> JobRecord {
    guard (0...90).contains(options.cloneFloorPercent) else {
      throw OperationError(.refused, "cloneFloor is a number from 0 to 90.")
    }
    try MachineSummary.check(name, in: service.vault)
    return try service.jobs.start("Replicate", machine: name) { job throws(OperationError) in
      var document = ReplicationDocument(machine: name)
      var failure: OperationError?
      try service.replicate(
        name, options,
        progress: { progress in
          job.report(
            JobProgress(
              step: "disk \(progress.disk)", done: progress.examined, total: progress.total,
              changed: progress.changed))
        },
        cancelled: { job.isCancelled },
        made: { cycle in
          document.add(cycle)
          do throws(OperationError) { try job.publish(document) } catch { failure = error }
        })
      if let failure {
        throw OperationError(
          .incomplete,
          "The recovery point was made, but the job's record could not be kept: \(failure.message)")
      }
    }
  }
}

extension Job {
  /// Tells what the job has made so far.
  func publish(_ document: some Encodable) throws(OperationError) {
    guard let json = try? JSON.encode(document) else { return }
    try publish(String(decoding: json, as: UTF8.self))
  }
}
