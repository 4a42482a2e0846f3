internal import Testing

@testable import FuseMount

/// Goal: mounts are recognised from /proc/self/mountinfo without touching what is mounted.
struct MountTableTests {
  @Test("lines of mountinfo are read, with and without optional fields, with escaped names")
  func lines() {
    let text = #"""
      21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
      57 21 0:44 / /mnt/with\040space rw,nosuid shared:12 master:3 - fuse.tidemark tidemark ro
      58 21 0:45 / /mnt/with\134slash ro - fuse.tidemark tidemark ro,user_id=0

      not a mount
      59 21 0:46 / /mnt/cut - 
      """#
    let entries = MountTable.entries(of: text)
    #expect(entries.map(\.path) == ["/", "/mnt/with space", #"/mnt/with\slash"#])
    #expect(entries.map(\.type) == ["ext4", MountEntry.type, MountEntry.type])
    #expect(entries.map(\.device) == ["8:1", "0:44", "0:45"])
  }

  @Test("the root is mounted, and no directory below it is by that name")
  func here() {
    #expect(MountTable.top(at: "/") != nil)
    #expect(MountTable.top(at: "/no such mount") == nil)
  }
}
