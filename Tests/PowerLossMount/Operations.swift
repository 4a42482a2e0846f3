import CFuse
import FileIO
import Glibc
import Support
import Synchronization

/// The table of libfuse's high-level calls: each decodes its arguments and calls the disk.
///
/// There is no flock or lock call, so the kernel keeps locks itself; no write-back cache is asked
/// for, so writes arrive as programs make them.
func fuseOperations() -> fuse_operations {
  var table = fuse_operations()
  addFileCalls(&table)
  addNameCalls(&table)
  addAttributeCalls(&table)
  // The session is freed after this: whoever still wants to end it comes too late.
  table.destroy = { _ in sessionHasEnded.store(true, ordering: .releasing) }
  table.`init` = { _, configuration in
    // Files are known by handle once opened; their names may be gone, and no other takes its place.
    configuration?.pointee.nullpath_ok = 1
    configuration?.pointee.hard_remove = 1
    configuration?.pointee.use_ino = 1
    servedSession = fuse_get_session(fuse_get_context()?.pointee.fuse)
    print("mounted")
    fflush(nil)
    return fuse_get_context()?.pointee.private_data
  }
  return table
}

private func handle(_ file: UnsafeMutablePointer<fuse_file_info>?) -> Int32 {
  Int32(truncatingIfNeeded: file?.pointee.fh ?? 0)
}

private func openedDirectory(
  _ file: UnsafeMutablePointer<fuse_file_info>?
) -> UnsafeMutablePointer<CChar>? {
  UnsafeMutablePointer(bitPattern: UInt(file?.pointee.fh ?? 0))
}

private func text(_ path: UnsafePointer<CChar>?) -> String {
  path.map { String(cString: $0) } ?? ""
}

private func addFileCalls(_ table: inout fuse_operations) {
  table.open = { path, file in
    ServedDisk.answer { (served) throws(IOError) in
      let isReader = (file?.pointee.flags ?? 0) & O_ACCMODE == O_RDONLY
      let opened = try served.disk.open(text(path), isReader ? .reading : .writing)
      file?.pointee.fh = UInt64(opened)
      return 0
    }
  }
  table.create = { path, mode, file in
    ServedDisk.answer { (served) throws(IOError) in
      let opened = try served.disk.open(text(path), .creating(permissions: mode & 0o7777))
      try served.adopt(text(path), permissions: mode)
      file?.pointee.fh = UInt64(opened)
      return 0
    }
  }
  table.release = { _, file in
    ServedDisk.current.disk.close(handle(file))
    return 0
  }
  table.read = { _, buffer, count, offset, file in
    ServedDisk.answer { (served) throws(IOError) in
      let target = UnsafeMutableRawBufferPointer(start: buffer, count: count)
      return Int32(try served.disk.read(handle(file), into: target, at: UInt64(offset)))
    }
  }
  table.write = { _, buffer, count, offset, file in
    ServedDisk.answer { (served) throws(IOError) in
      let source = UnsafeRawBufferPointer(start: buffer, count: count)
      try served.disk.write(handle(file), source, at: UInt64(offset))
      return Int32(count)
    }
  }
  table.fsync = { _, _, file in
    ServedDisk.answer { (served) throws(IOError) in
      try served.disk.sync(handle(file))
      return 0
    }
  }
  table.truncate = { path, size, file in
    ServedDisk.answer { (served) throws(IOError) in
      try served.resize(path.map { String(cString: $0) }, file.map(handle), to: size)
      return 0
    }
  }
}

private func addNameCalls(_ table: inout fuse_operations) {
  table.mkdir = { path, mode in
    ServedDisk.answer { (served) throws(IOError) in
      try served.disk.makeDirectory(text(path))
      try served.adopt(text(path), permissions: mode)
      return 0
    }
  }
  table.unlink = { path in
    ServedDisk.answer { (served) throws(IOError) in
      try served.disk.remove(text(path))
      return 0
    }
  }
  table.rmdir = table.unlink
  table.rename = { old, new, flags in
    ServedDisk.answer { (served) throws(IOError) in
      // RENAME_NOREPLACE and RENAME_EXCHANGE are not offered (renameat2(2)).
      guard flags == 0 else { return -EINVAL }
      try served.disk.rename(text(old), to: text(new))
      return 0
    }
  }
  table.opendir = { path, file in
    // Later calls name the directory by its handle alone, which therefore keeps the path.
    file?.pointee.fh = UInt64(UInt(bitPattern: path.map { strdup($0) } ?? nil))
    return 0
  }
  table.releasedir = { _, file in
    free(openedDirectory(file))
    return 0
  }
  table.readdir = { _, buffer, fill, _, file, _ in
    ServedDisk.answer { (served) throws(IOError) in
      for name in [".", ".."] + (try served.disk.list(text(openedDirectory(file)))) {
        _ = fill?(buffer, name, nil, 0, fuse_fill_dir_flags(rawValue: 0))
      }
      return 0
    }
  }
  table.fsyncdir = { _, _, file in
    ServedDisk.answer { (served) throws(IOError) in
      try served.disk.syncDirectory(text(openedDirectory(file)))
      return 0
    }
  }
}

private func addAttributeCalls(_ table: inout fuse_operations) {
  table.getattr = { path, facts, file in
    ServedDisk.answer { (served) throws(IOError) in
      guard let facts else { return -EINVAL }
      if let path {
        try served.attributes(String(cString: path), into: &facts.pointee)
      } else {
        try served.attributes(handle: handle(file), into: &facts.pointee)
      }
      return 0
    }
  }
  table.chmod = { path, mode, _ in
    ServedDisk.answer { (served) throws(IOError) in
      try served.disk.setPermissions(text(path), mode)
      return 0
    }
  }
  table.chown = { path, owner, group, _ in
    ServedDisk.answer { (served) throws(IOError) in
      // (uid_t)-1 leaves one as it is (chown(2)).
      try served.disk.setOwner(
        text(path), owner: owner == .max ? nil : owner, group: group == .max ? nil : group)
      return 0
    }
  }
  // Times are counted in changes; setting them is accepted and forgotten.
  table.utimens = { _, _, _ in 0 }
  table.statfs = { _, facts in
    ServedDisk.answer { (served) throws(IOError) in
      guard let facts else { return -EINVAL }
      try served.space(into: &facts.pointee)
      return 0
    }
  }
}
