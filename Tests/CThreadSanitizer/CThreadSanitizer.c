#include "CThreadSanitizer.h"

#if __has_feature(thread_sanitizer)

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

int tidemark_is_thread_sanitized(void) { return 1; }

// Swift's Mutex takes a contended lock inside libswiftSynchronization, which is not built with the
// sanitizer: it does not see that lock and calls everything the lock guards a race. This takes the
// place of Synchronization._MutexHandle._lockSlow(_:), which stores the thread's id in the word as
// this does, and never sleeps, so that nobody has to be woken by the library either.
__attribute__((swiftcall)) void tidemark_lock_slow(
    uint32_t thread, __attribute__((swift_context)) _Atomic uint32_t *word)
    __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");

__attribute__((swiftcall)) void tidemark_lock_slow(
    uint32_t thread, __attribute__((swift_context)) _Atomic uint32_t *word) {
  uint32_t unlocked = 0;
  while (!atomic_compare_exchange_weak_explicit(
      word, &unlocked, thread, memory_order_acquire, memory_order_relaxed)) {
    unlocked = 0;
    sched_yield();
  }
}

#else

int tidemark_is_thread_sanitized(void) { return 0; }

#endif
