import Capture
import FileIO
import ImageFormats
import Support
import Testing
import Vault

@testable import Operations

/// Goal: every error below has an outcome that a program can act on. Method: all codes there are.
@Suite struct OperationErrorTests {
  @Test("each of the vault's errors has its outcome")
  func vaultErrors() {
    let expected: [VaultError.Code: OperationError.Code] = [
      .notAVault: .noVault, .newerVersion: .noVault, .locked: .locked, .unknownMachine: .unknown,
      .unknownPoint: .unknown, .unknownDisk: .unknown, .unknownBranch: .unknown,
      .invalid: .refused,
      .alreadyExists: .refused, .inUse: .refused, .malformed: .refused, .damaged: .damaged,
      .readOnly: .unwritable,
      .full: .unwritable, .overBudget: .unwritable, .cancelled: .cancelled, .io: .failed,
    ]
    for code in VaultError.Code.allCases {
      let error = OperationError(VaultError(code, "what and why"))
      #expect(error.code == expected[code], "\(code)")
      #expect(error.message == "what and why")
    }
  }

  @Test("a full disk and a missing permission are told apart from other failures")
  func systemErrors() {
    let codes: [(Int32, OperationError.Code)] = [
      (28, .unwritable), (30, .unwritable), (13, .unwritable), (122, .unwritable), (5, .failed),
    ]
    for (errno, code) in codes {
      #expect(OperationError(IOError("write", "/x", code: errno)).code == code)
    }
  }
}
