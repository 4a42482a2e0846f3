#ifndef TIDEMARK_CFUSE_H
#define TIDEMARK_CFUSE_H

// Low-level libfuse for Swift. _FILE_OFFSET_BITS is left alone: setting it here would give struct
// stat, flock and statvfs another layout than the one Swift's Glibc module has. On 64-bit Linux
// off_t is 64 bits either way; libfuse's own header and CFuse.c assert it.
#define FUSE_USE_VERSION 312
#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>

// Below: only what Swift can't import (GNU extensions, macros, variadics) or must not do itself
// (code inside signal handlers).

/// pipe2(2) with O_CLOEXEC: ends[0] is read from, ends[1] written to. Returns -1 on failure.
int tidemark_pipe(int ends[2]);

/// eventfd(2) at 0, with EFD_CLOEXEC. Returns -1 on failure.
int tidemark_eventfd(void);

/// Has a program that is started get no descriptors from `first` on (posix_spawn_file_actions_addclosefrom_np(3)).
/// Returns an errno.
int tidemark_close_from(posix_spawn_file_actions_t *actions, int first);

/// The size of the table of operations as C sees it; Swift's must be the same.
size_t tidemark_fuse_operations_size(void);

/// Receives one descriptor over a socket (SCM_RIGHTS, unix(7)); CMSG_* are macros. It is closed on
/// exec. Returns -1 if none came.
int tidemark_receive_descriptor(int socket);

/// Makes SIGTERM, SIGINT and SIGHUP add 1 to this eventfd(2), whichever thread they reach; those the
/// process ignores stay ignored. Returns -1 on failure.
int tidemark_catch_stop_signals(int eventfd);

/// Gives the three signals back what they did before.
void tidemark_release_stop_signals(void);

/// Gives the wake-up signal a handler that does nothing, and lets this thread receive it and the three
/// signals above (threads of Dispatch's pools block them). `before` is the thread's mask until then.
/// Returns -1 on failure.
int tidemark_prepare_wakeup(sigset_t *before);

/// Interrupts the system call a thread waits in (pthread_kill(3) with the wake-up signal).
int tidemark_wake(pthread_t thread);

/// syslog(3) with priority LOG_ERR and facility LOG_DAEMON; syslog is variadic.
void tidemark_log_error(const char *message);

/// Answers an open (FUSE_OPEN) with these FOPEN_* flags, some of which struct fuse_file_info can't say.
/// Returns 0, or a negative errno if the kernel did not take the answer.
int tidemark_reply_open(fuse_req_t request, uint64_t handle, uint32_t flags);

/// O_DIRECT of open(2), a GNU extension.
int tidemark_direct_flag(void);

/// Has the kernel hand out again what was read from a connection and not answered
/// (FUSE_NOTIFY_RESEND, since Linux 6.9). Returns -1 on failure.
int tidemark_resend(int connection);

/// Answers a request that libfuse has not seen with an error. Returns -1 on failure.
int tidemark_refuse(int connection, uint64_t request, int error);

/// Has the kernel ask for the attributes of an inode again before it relies on them; does not wait for anything.
/// Returns -1 on failure, as for one that it does not know.
int tidemark_forget_attributes(int connection, uint64_t inode);

/// Opens a clone of a connection (FUSE_DEV_IOC_CLONE): what was read from it and not answered when it is
/// closed fails. Returns -1 on failure.
int tidemark_clone_connection(int connection);

/// Memory to share with other processes, all zeros (memfd_create(2)); closed on exec. Returns -1 on failure.
int tidemark_memory(size_t size);

/// Tells the kernel that disks depend on this process (PR_SET_IO_FLUSHER of prctl(2), and its oom_score_adj): when
/// it wants memory, the kernel does not wait for those disks, and it is killed for want of memory after others.
/// For threads started later too. Returns -1 on failure.
int tidemark_mark_as_disk(void);

/// Whether nobody uses the mount at a path, in the calling thread's mount namespace (the first half of MNT_EXPIRE of umount(2));
/// 0 also if that can't be told. For one thread at a time.
int tidemark_is_unused(const char *path);

/// Takes the calling thread to another mount namespace, the file of a process in /proc (setns(2)), from which it
/// does not come back. Returns -1 on failure.
int tidemark_enter(const char *namespace);

/// Keeps what this process uses of its memory from being paged out, now and later (mlockall(2) with
/// MCL_ONFAULT). Returns -1 on failure.
int tidemark_lock_memory(void);

#endif
