internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// What the service is, and whether it does its work.
  static let serviceEndpoints: [Endpoint] = [
    .get("/v1/health", nil) { _ in HealthDocument() },
    .get("/v1/clock", nil) { _ in ClockDocument(.now()) },
    .post("/v1/service/certificate", .administrator) { call in
      CertificateDocument(try call.service.rotateCredentials())
    },
    .get("/v1/service", .reader) { call in
      ServiceDocument(
        call.service, version: call.control.version, listeners: call.control.listeners)
    },
  ]
}
