/// What a person can do with a vault: one type a use case, which checks, acts and returns values.
///
/// Nothing here prints, asks or knows a command line, so that a service can do the same one day.
///
/// - `VaultLookup` finds the vault that is meant; `InitializeVault` makes one.
/// - `AddMachine`, `RemoveMachine` and `MachineSummary` are about machines.
/// - `Replicate` makes recovery points; `PointLookup` finds them; `ExportDisk` copies one out.
/// - `VerifyVault` and `VaultStatus` tell how things are.
///
/// Whatever writes takes the vault's lock itself and gives it back before it returns.
enum Operations {}
