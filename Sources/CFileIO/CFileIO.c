#define _GNU_SOURCE
#include "CFileIO.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

int tidemark_clone(int to, int from) {
  int result = ioctl(to, FICLONE, from);
  if (result == 0 || errno != EINVAL) return result;
  int flags = 0;
  if (ioctl(from, FS_IOC_GETFLAGS, &flags) != 0 || !(flags & FS_NOCOW_FL)) {
    errno = EINVAL;
    return -1;
  }
  flags = FS_NOCOW_FL;
  if (ioctl(to, FS_IOC_SETFLAGS, &flags) != 0) return -1;
  return ioctl(to, FICLONE, from);
}

int tidemark_extents(int file, uint64_t start, struct tidemark_extent *extents, unsigned capacity) {
  size_t size = sizeof(struct fiemap) + capacity * sizeof(struct fiemap_extent);
  struct fiemap *map = calloc(1, size);
  if (!map) return -1;
  map->fm_start = start;
  map->fm_length = FIEMAP_MAX_OFFSET - start;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = capacity;
  int result = ioctl(file, FS_IOC_FIEMAP, map);
  if (result == 0) {
    result = (int)map->fm_mapped_extents;
    for (int i = 0; i < result; i++) {
      extents[i].logical = map->fm_extents[i].fe_logical;
      extents[i].physical = map->fm_extents[i].fe_physical;
      extents[i].length = map->fm_extents[i].fe_length;
      extents[i].flags = map->fm_extents[i].fe_flags;
    }
  }
  free(map);
  return result;
}

int tidemark_punch_hole(int file, int64_t offset, int64_t length) {
  return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int tidemark_read_directly(int file) {
  int flags = fcntl(file, F_GETFL);
  return flags < 0 ? -1 : fcntl(file, F_SETFL, flags | O_DIRECT);
}

int tidemark_begin_writeback(int file, int64_t offset, int64_t length) {
  return sync_file_range(file, offset, length, SYNC_FILE_RANGE_WRITE);
}

int tidemark_device_size(int device, uint64_t *size) { return ioctl(device, BLKGETSIZE64, size); }

int tidemark_lock_byte(int file, int64_t offset, int type) {
  struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
  return fcntl(file, F_OFD_SETLK, &lock);
}

int tidemark_find_lock(int file, int64_t offset, int64_t length, int64_t *first) {
  struct flock lock = {
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
  if (fcntl(file, F_OFD_GETLK, &lock) != 0) return -1;
  *first = lock.l_start;
  return lock.l_type != F_UNLCK;
}

int tidemark_file_system_type(const char *path, uint64_t *type) {
  struct statfs facts;
  if (statfs(path, &facts) != 0) return -1;
  *type = (uint32_t)facts.f_type;
  return 0;
}

int tidemark_freeze(int directory) { return ioctl(directory, FIFREEZE, 0); }

int tidemark_thaw(int directory) { return ioctl(directory, FITHAW, 0); }

// Writes a socket's path into an address. One that is too long for it is named by its directory, which is
// opened for that: the descriptor, to be closed after use; -1 if none was needed, -2 on failure.
static int name_socket(const char *path, struct sockaddr_un *address) {
  address->sun_family = AF_UNIX;
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return -1;
  }
  const char *name = strrchr(path, '/');
  char *parent = name ? strndup(path, name - path + 1) : NULL;
  int directory = parent ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  free(parent);
  if (directory < 0) return -2;
  int length = snprintf(
      address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", directory, name);
  if (length > 0 && (size_t)length < sizeof address->sun_path) return directory;
  close(directory);
  errno = ENAMETOOLONG;
  return -2;
}

int tidemark_connect(const char *path) {
  struct sockaddr_un address = {0};
  int directory = name_socket(path, &address);
  if (directory == -2) return -1;
  int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int result = stream < 0 ? -1 : connect(stream, (struct sockaddr *)&address, sizeof address);
  int reason = errno;
  if (directory >= 0) close(directory);
  if (result == 0) return stream;
  if (stream >= 0) close(stream);
  errno = reason;
  return -1;
}

int tidemark_listen(const char *path) {
  struct sockaddr_un address = {0};
  int directory = name_socket(path, &address);
  if (directory == -2) return -1;
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Between bind and chmod somebody could connect, so the mode comes first.
  int result = listener < 0 ? -1 : fchmod(listener, 0600);
  if (result == 0) result = bind(listener, (struct sockaddr *)&address, sizeof address);
  if (result == 0) result = listen(listener, 16);
  int reason = errno;
  if (directory >= 0) close(directory);
  if (result == 0) return listener;
  if (listener >= 0) close(listener);
  errno = reason;
  return -1;
}

int tidemark_accept(int listener) {
  return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int tidemark_channel(int is_socket, int ends[2]) {
  if (is_socket) return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
  return pipe2(ends, O_CLOEXEC);
}

int tidemark_spawn(
    const char *program, char *const arguments[], char *const environment[], int input, int output,
    int error, int has_session, int *process) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int result = posix_spawn_file_actions_init(&actions);
  if (result != 0) return result;
  result = posix_spawnattr_init(&attributes);
  if (result != 0) {
    posix_spawn_file_actions_destroy(&actions);
    return result;
  }
  if (input < 0) {
    result = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  } else {
    result = posix_spawn_file_actions_adddup2(&actions, input, 0);
  }
  if (result == 0) result = posix_spawn_file_actions_adddup2(&actions, output, 1);
  if (result == 0) result = posix_spawn_file_actions_adddup2(&actions, error, 2);
  if (result == 0) result = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (result == 0) result = posix_spawnattr_setsigmask(&attributes, &none);
  if (result == 0) result = posix_spawnattr_setsigdefault(&attributes, &all);
  short separate = has_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
  if (result == 0) {
    result = posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | separate);
  }
  if (result == 0) result = posix_spawn(process, program, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return result;
}

int tidemark_file_origin(const char *path, int64_t *born, int64_t *generation) {
  struct statx facts;
  if (statx(AT_FDCWD, path, 0, STATX_BTIME, &facts) != 0) return -1;
  if (facts.stx_mask & STATX_BTIME)
    *born = facts.stx_btime.tv_sec * 1000000000LL + facts.stx_btime.tv_nsec;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return 0;
  int version = 0;
  if (ioctl(file, FS_IOC_GETVERSION, &version) == 0) *generation = (uint32_t)version;
  close(file);
  return 0;
}

int tidemark_process_open(int process) { return pidfd_open(process, 0); }

int tidemark_process_signal(int handle, int signal) {
  return pidfd_send_signal(handle, signal, NULL, 0);
}

int tidemark_gain_no_rights(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

int tidemark_become(unsigned user, unsigned group) {
  if (setgroups(0, NULL) != 0) return -1;
  if (setresgid(group, group, group) != 0) return -1;
  return setresuid(user, user, user);
}
