import Dispatch
import FileIO
import Support
import Testing

/// Goal: another process can neither block this one nor fill its memory. Method: programs that end, hang,
/// talk without end, and leave children behind.
@Suite struct ProcessTests {
  private static func run(
    _ command: String, seconds: Double = 5
  ) throws -> (status: Int32?, output: String) {
    var child = try ChildProcess(
      "/bin/sh", ["sh", "-c", command], environment: ["WORD=one two"], .output)
    let result = try child.run(limit: 1000, until: .now + .seconds(seconds))
    child.end()
    return result
  }

  @Test("a program gets its variables, no input, and no descriptor of this process")
  func start() throws {
    let kept = try File("/dev/null", .reading)
    let (status, output) = try Self.run(#"echo "$WORD"; cat; ls /proc/self/fd; exit 3"#)
    #expect(status == 3)
    // ls(1) has the directory open as well.
    #expect(output.split(separator: "\n") == ["one two", "0", "1", "2", "3"], "\(kept.path)")
    #expect(throws: IOError.self) {
      _ = try ChildProcess("/nonexistent", ["x"], environment: [], .output)
    }
  }

  @Test(
    "of what a program writes the end is kept; one that hangs, or leaves a child behind, is not waited for"
  )
  func limits() throws {
    let (status, output) = try Self.run("yes | head -c 3000000; echo end")
    #expect(status == 0 && output.utf8.count <= 1000 && output.hasSuffix("end\n"))
    let clock = ContinuousClock()
    let start = clock.now
    #expect(try Self.run("sleep 60", seconds: 0.3).status == nil)
    #expect(try Self.run("sleep 60 & echo left").output == "left\n")
    #expect(try Self.run("yes", seconds: 0.3).status == nil)
    #expect(try Self.run("yes & sleep 0.1; exit 4").status == 4)
    #expect(clock.now - start < .seconds(5))
  }

  @Test(
    "one that can't die, as it writes to a frozen file system, is not waited for",
    .enabled(if: Available.root))
  func undying() throws {
    let mount = try LoopMount(.ext4, size: 16 << 20)
    try Program.require("fsfreeze", "-f", mount.path)
    let done = DispatchGroup()
    DispatchQueue.global().async(group: done) {
      // However long it is waited for.
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + 8)
      _ = try? Program.run("fsfreeze", "-u", mount.path)
    }
    defer { done.wait() }
    let start = ContinuousClock.now
    #expect(try Self.run("echo x >'\(mount.file("x"))'", seconds: 0.3).status == nil)
    #expect(ContinuousClock.now - start < .seconds(5))
  }

  @Test("a conversation has lines of limited length, time-outs that lose nothing, and an end")
  func conversation() throws {
    var child = try ChildProcess(
      "/bin/sh",
      ["sh", "-c", "read a; printf half; sleep 0.3; echo \" $a\"; read b; yes | tr -d '\\n'"],
      environment: ["PATH=/usr/bin:/bin"], .conversation)
    try child.stream.send(Array("done\n".utf8), until: .now + .seconds(1))
    var failure: IOError?
    do throws(IOError) {
      _ = try child.stream.line(limit: 100, until: .now + .milliseconds(100))
    } catch { failure = error }
    #expect(failure?.isTimeout == true)
    let line = try child.stream.line(limit: 100, until: .now + .seconds(5))
    #expect(line.map { String(decoding: $0, as: UTF8.self) } == "half done")
    try child.stream.send(Array("more\n".utf8), until: .now + .seconds(1))
    do throws(IOError) {
      _ = try child.stream.line(limit: 100_000, until: .now + .seconds(5))
    } catch { failure = error }
    #expect(failure?.isTooLong == true)
    child.end()
    #expect(child.wait(until: .now) == 128 + 9 || child.wait(until: .now) != nil)
  }

  @Test("sockets that are not there, or have too long a path, are errors")
  func sockets() throws {
    let directory = try TemporaryDirectory("sockets", in: "/tmp")
    for path in [directory.file("none"), directory.file(String(repeating: "x", count: 200))] {
      #expect(throws: IOError.self) {
        _ = try ByteStream(connectingTo: path, until: .now + .seconds(1))
      }
    }
  }

  @Test("mount points with odd names are found")
  func mounts() throws {
    #expect(try FileSystem.mounts().contains { $0.point == "/" })
    #expect(try FileSystem.mounts().contains { $0.point == "/proc" && $0.type == "proc" })
  }
}
