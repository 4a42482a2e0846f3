#define _GNU_SOURCE
#include "CFuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "offsets are 64 bits");
_Static_assert(sizeof(fuse_ino_t) == sizeof(((struct stat *)0)->st_ino), "inodes fit struct stat");
_Static_assert(sizeof(void *) <= sizeof(((struct fuse_file_info *)0)->fh), "handles hold pointers");

size_t tidemark_fuse_operations_size(void) { return sizeof(struct fuse_lowlevel_ops); }

int tidemark_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int tidemark_close_from(posix_spawn_file_actions_t *actions, int first) {
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int tidemark_eventfd(void) { return eventfd(0, EFD_CLOEXEC); }

int tidemark_receive_descriptor(int socket) {
  char byte;
  struct iovec vector = {.iov_base = &byte, .iov_len = 1};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct msghdr message = {
      .msg_iov = &vector,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  ssize_t received;
  do {
    received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received <= 0) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS) return -1;
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return descriptor;
}

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};
enum { stop_signal_count = sizeof stop_signals / sizeof stop_signals[0] };
static struct sigaction before[stop_signal_count];
static volatile sig_atomic_t stop_eventfd = -1;

// Only write(2), which signal-safety(7) allows here.
static void on_stop(int signal) {
  (void)signal;
  int saved = errno;
  uint64_t one = 1;
  if (stop_eventfd >= 0) (void)!write(stop_eventfd, &one, sizeof one);
  errno = saved;
}

int tidemark_catch_stop_signals(int eventfd) {
  stop_eventfd = eventfd;
  struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < stop_signal_count; i++) {
    if (sigaction(stop_signals[i], NULL, &before[i]) != 0) return -1;
    if (before[i].sa_handler == SIG_IGN) continue;
    if (sigaction(stop_signals[i], &action, NULL) != 0) return -1;
  }
  return 0;
}

void tidemark_release_stop_signals(void) {
  for (int i = 0; i < stop_signal_count; i++) sigaction(stop_signals[i], &before[i], NULL);
  stop_eventfd = -1;
}

static void on_wakeup(int signal) { (void)signal; }

// A real-time signal that neither libfuse nor the Swift runtime uses.
static int wakeup_signal(void) { return SIGRTMIN + 5; }

int tidemark_prepare_wakeup(sigset_t *before_mask) {
  // Without SA_RESTART, so that sem_wait(3) returns.
  struct sigaction action = {.sa_handler = on_wakeup};
  sigemptyset(&action.sa_mask);
  if (sigaction(wakeup_signal(), &action, NULL) != 0) return -1;
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, wakeup_signal());
  for (int i = 0; i < stop_signal_count; i++) sigaddset(&wanted, stop_signals[i]);
  return pthread_sigmask(SIG_UNBLOCK, &wanted, before_mask) == 0 ? 0 : -1;
}

int tidemark_wake(pthread_t thread) { return pthread_kill(thread, wakeup_signal()); }

void tidemark_log_error(const char *message) {
  syslog(LOG_DAEMON | LOG_ERR, "tidemark: %s", message);
}

int tidemark_reply_open(fuse_req_t request, uint64_t handle, uint32_t flags) {
  // What fuse_reply_open(3) sends, but for flags that libfuse 3.14 has no field for.
  struct fuse_open_out answer = {.fh = handle, .open_flags = flags};
  return fuse_reply_buf(request, (const char *)&answer, sizeof answer);
}

int tidemark_direct_flag(void) { return O_DIRECT; }

int tidemark_resend(int connection) {
  // FUSE_NOTIFY_RESEND is 7, which linux/fuse.h says only since Linux 6.9. A notification is an answer to
  // request 0 whose error is its kind.
  struct fuse_out_header message = {.len = sizeof message, .error = 7, .unique = 0};
  return write(connection, &message, sizeof message) == sizeof message ? 0 : -1;
}

int tidemark_refuse(int connection, uint64_t request, int error) {
  struct fuse_out_header answer = {.len = sizeof answer, .error = -error, .unique = request};
  return write(connection, &answer, sizeof answer) == sizeof answer ? 0 : -1;
}

int tidemark_forget_attributes(int connection, uint64_t inode) {
  // Nothing of the inode's data, which could be locked until this process has answered a read.
  struct {
    struct fuse_out_header head;
    struct fuse_notify_inval_inode_out body;
  } message = {
      .head = {.len = sizeof message, .error = FUSE_NOTIFY_INVAL_INODE, .unique = 0},
      .body = {.ino = inode, .off = -1, .len = 0},
  };
  return write(connection, &message, sizeof message) == sizeof message ? 0 : -1;
}

int tidemark_clone_connection(int connection) {
  int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (clone < 0) return -1;
  uint32_t master = (uint32_t)connection;
  if (ioctl(clone, FUSE_DEV_IOC_CLONE, &master) == 0) return clone;
  int reason = errno;
  close(clone);
  errno = reason;
  return -1;
}

int tidemark_memory(size_t size) {
  int memory = memfd_create("tidemark", MFD_CLOEXEC);
  if (memory < 0) return -1;
  if (ftruncate(memory, (off_t)size) == 0) return memory;
  int reason = errno;
  close(memory);
  errno = reason;
  return -1;
}

int tidemark_mark_as_disk(void) {
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return -1;
  int failed = write(file, "-900", 4) != 4;
  close(file);
  // PR_SET_IO_FLUSHER, since Linux 5.6.
  return prctl(57, 1, 0, 0, 0) == 0 && !failed ? 0 : -1;
}

int tidemark_is_unused(const char *path) {
  // Any look at the mount takes away the mark that a second call would unmount by.
  int directory = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) return 0;
  close(directory);
  return umount2(path, MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 && errno == EAGAIN;
}

int tidemark_enter(const char *namespace) {
  int file = open(namespace, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  // A thread that shares its directories with others may not.
  int failed = unshare(CLONE_FS) != 0 || setns(file, CLONE_NEWNS) != 0;
  close(file);
  return failed ? -1 : 0;
}

int tidemark_lock_memory(void) { return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT); }
