/* syncshim.c: LD_PRELOAD library that counts and times what a process asks of its disk, and can make each sync slower.
 *
 * It stands before fsync, fdatasync and sync_file_range. BENCH_SYNC_FILE names a file (made by the harness, see SyncLog in
 * syncs.py) into which it writes: the number of syncs, then a ring of their durations in nanoseconds. BENCH_SYNC_DELAY_US is
 * slept after each sync, inside its duration. Without BENCH_SYNC_FILE it only delays. It reaches a SQLite that is linked into an
 * extension module, since that still calls libc's fdatasync through its procedure linkage table; syncs made by a direct system
 * call or io_uring it does not see. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 18 };
typedef struct {
  _Atomic uint64_t count;
  uint32_t duration_ns[RING];
} sync_log;

static sync_log *record;
static long delay_us;
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_range)(int, off_t, off_t, unsigned);

__attribute__((constructor)) static void start(void) {
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_range = dlsym(RTLD_NEXT, "sync_file_range");
  const char *delay = getenv("BENCH_SYNC_DELAY_US"), *path = getenv("BENCH_SYNC_FILE");
  delay_us = delay ? atol(delay) : 0;
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof(sync_log), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) record = at;
  close(fd);
}

static long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int after(int result, long began_ns) {
  static _Thread_local int precise;
  if (delay_us) {
    if (!precise) precise = !prctl(PR_SET_TIMERSLACK, 1000UL); /* the default lets a sleep end 50 us late */
    struct timespec t = {delay_us / 1000000, delay_us % 1000000 * 1000};
    nanosleep(&t, NULL);
  }
  if (record) {
    long took = now_ns() - began_ns;
    record->duration_ns[atomic_fetch_add(&record->count, 1) % RING] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
  }
  return result;
}

int fsync(int fd) { long t = now_ns(); return after(real_fsync(fd), t); }
int fdatasync(int fd) { long t = now_ns(); return after(real_fdatasync(fd), t); }
int sync_file_range(int fd, off_t from, off_t n, unsigned flags) { long t = now_ns(); return after(real_range(fd, from, n, flags), t); }
