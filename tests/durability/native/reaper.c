/* reaper.c: LD_PRELOAD library that kills its process at a named point of one call's journey, or takes the disk away.
 *
 * It stands before the calls by which a gateway writes its ledger and talks to both sides. REAPER_POINT names the point, REAPER_MARK is a
 * text that the one call alone carries (run id, prompt and answer): where it shows up tells how far that call has come. REAPER_PORT is
 * the provider's. REAPER_COUNT (default 1): strike at the so-many-th time the point is reached.
 *
 * Points, in the order of the journey:
 *   hold_unwritten   the page with the hold is about to be written       hold_torn     half of that page is written
 *   hold_written     the hold's commit is written, not synced            hold_synced   it is, nothing is sent
 *   request_half     half of the request's bytes are sent                request_sent  all are
 *   answer_begun     the first bytes of the answer have come             mid_stream    the mark has come back, in the answer's text
 *   usage_seen       the usage has come, the entry is not written        entry_torn    half of the page with the entry is written
 *   entry_written    the entry's commit is written, not synced           entry_synced  it is, the end is not sent
 *   end_sent         the end of the answer was handed to the client's socket
 * and anywhere: log_write, log_sync (of the write-ahead log), file_write, file_sync (of the ledger itself: a checkpoint), any (each call seen).
 *
 * REAPER_FAULT names a file: while its first byte is not '0', writing or syncing the ledger fails: 'w' writes with ENOSPC, 's' syncs with EIO.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OTHER, LOG, LEDGER, UPSTREAM, CLIENT };
enum { SENT_BYTES_MAX = 1 << 18 };

static const char *point, *mark;
static size_t mark_bytes;
static int provider_port;
static long countdown = 1;
static volatile char *fault;
static int hold_page, hold_durable, entry_page; /* the ledger has one writing thread */
static int upstream_fd = -1, client_fd = -1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_read)(int, void *, size_t);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void start(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_send = dlsym(RTLD_NEXT, "send");
  real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
  real_recv = dlsym(RTLD_NEXT, "recv");
  real_read = dlsym(RTLD_NEXT, "read");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  const char *count = getenv("REAPER_COUNT"), *port = getenv("REAPER_PORT"), *path = getenv("REAPER_FAULT");
  point = getenv("REAPER_POINT");
  if (point && !*point) point = NULL;
  mark = getenv("REAPER_MARK");
  mark_bytes = mark ? strlen(mark) : 0;
  if (count) countdown = atol(count);
  if (port) provider_port = atoi(port);
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) fault = at;
  close(fd);
}

static void strike(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void at(const char *name) {
  if (point && !strcmp(point, name) && __atomic_sub_fetch(&countdown, 1, __ATOMIC_SEQ_CST) == 0) strike();
}

static int is(const char *name) { return point && !strcmp(point, name); }

static int port_of(int fd, int peer) {
  struct sockaddr_in name;
  socklen_t size = sizeof name;
  int failed = peer ? getpeername(fd, (void *)&name, &size) : getsockname(fd, (void *)&name, &size);
  return failed || name.sin_family != AF_INET ? -1 : ntohs(name.sin_port);
}

static enum kind socket_kind(int fd) {
  int peer = port_of(fd, 1);
  return peer < 0 ? OTHER : peer == provider_port ? UPSTREAM : CLIENT;
}

static enum kind file_kind(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return OTHER;
  path[size] = 0;
  const char *name = strrchr(path, '/');
  return !name ? OTHER : !strcmp(name, "/ledger.db-wal") ? LOG : !strcmp(name, "/ledger.db") ? LEDGER : OTHER;
}

static int carries(const void *data, size_t size, const char *text, size_t bytes) {
  return bytes && size >= bytes && memmem(data, size, text, bytes) != NULL;
}

/* A row with the mark: an entry has its outcome right behind the upstream's name, a hold has numbers there. */
static int has_entry(const void *data, size_t size) {
  const char *from = data, *end = from + size, *found;
  while (mark_bytes && (found = memmem(from, end - from, mark, mark_bytes))) {
    const char *until = found + 160 < end ? found + 160 : end;
    static const char *const tails[] = {"openaiok", "anthropicok", "openaierror", "anthropicerror", "openaicancelled"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
      if (memmem(found, until - found, tails[i], strlen(tails[i]))) return 1;
    from = found + 1;
  }
  return 0;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  enum kind kind = point || fault ? file_kind(fd) : OTHER;
  if (fault && *fault == 'w' && (kind == LOG || kind == LEDGER)) {
    errno = ENOSPC;
    return -1;
  }
  if (!point || kind == OTHER) return real_pwrite(fd, data, size, offset);
  at("any");
  at(kind == LOG ? "log_write" : "file_write");
  int page = kind == LOG && size >= 512 && carries(data, size, mark, mark_bytes);
  int entry = page && has_entry(data, size), hold = page && !entry && !hold_durable && ((const char *)data)[0] == 0x0d;
  if (hold && !hold_page) at("hold_unwritten");
  if ((hold && !hold_page && is("hold_torn")) || (entry && !entry_page && is("entry_torn"))) {
    real_pwrite(fd, data, size / 2, offset);
    at(point);
  }
  ssize_t done = real_pwrite(fd, data, size, offset);
  hold_page |= hold;
  entry_page |= entry;
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

int fdatasync(int fd) {
  enum kind kind = point || fault ? file_kind(fd) : OTHER;
  if (fault && *fault == 's' && (kind == LOG || kind == LEDGER)) {
    errno = EIO;
    return -1;
  }
  if (!point || kind == OTHER) return real_fdatasync(fd);
  at("any");
  at(kind == LOG ? "log_sync" : "file_sync");
  if (kind == LOG && hold_page && !hold_durable) at("hold_written");
  if (kind == LOG && entry_page) at("entry_written");
  int done = real_fdatasync(fd);
  if (kind == LOG && hold_page && !hold_durable) hold_durable = 1, at("hold_synced");
  if (kind == LOG && entry_page) at("entry_synced");
  return done;
}

static size_t flat(const struct iovec *parts, int n, char *out, size_t room) {
  size_t size = 0;
  for (int i = 0; i < n; i++) {
    size_t take = parts[i].iov_len < room - size ? parts[i].iov_len : room - size;
    memcpy(out + size, parts[i].iov_base, take);
    size += take;
  }
  return size;
}

/* Before bytes go out; returns 1 if they are the marked request. */
static int leaving(int fd, enum kind kind, const void *data, size_t size) {
  at("any");
  int request = kind == UPSTREAM && carries(data, size, mark, mark_bytes);
  if (request && is("request_half")) {
    real_send(fd, data, size / 2, MSG_NOSIGNAL);
    at("request_half");
  }
  return request;
}

/* After bytes went out. */
static void left(int fd, enum kind kind, int request, const void *data, size_t size) {
  if (request) {
    __atomic_store_n(&upstream_fd, fd, __ATOMIC_SEQ_CST);
    at("request_sent");
  }
  if (kind != CLIENT) return;
  int ours = carries(data, size, mark, mark_bytes);
  if (ours) client_fd = fd;
  if (fd != client_fd || !entry_page) return;
  if (ours || carries(data, size, "data: [DONE]", 12) || carries(data, size, "event: message_stop", 19)) at("end_sent");
}

typedef ssize_t go_on(int, const struct iovec *, int, const struct msghdr *, int);

static ssize_t sent(int fd, const struct iovec *parts, int n, go_on *go, const struct msghdr *message, int flags) {
  enum kind kind = point ? socket_kind(fd) : OTHER;
  if (kind == OTHER) return go(fd, parts, n, message, flags);
  char *copy = malloc(SENT_BYTES_MAX); /* not on the stack: threads of the client library have small ones */
  size_t size = flat(parts, n, copy, SENT_BYTES_MAX);
  int request = leaving(fd, kind, copy, size);
  ssize_t done = go(fd, parts, n, message, flags);
  int error = errno;
  if (done > 0) left(fd, kind, request, copy, size);
  free(copy);
  errno = error;
  return done;
}

static ssize_t go_write(int fd, const struct iovec *parts, int n, const struct msghdr *message, int flags) { return real_write(fd, parts->iov_base, parts->iov_len); }
static ssize_t go_writev(int fd, const struct iovec *parts, int n, const struct msghdr *message, int flags) { return real_writev(fd, parts, n); }
static ssize_t go_send(int fd, const struct iovec *parts, int n, const struct msghdr *message, int flags) { return real_send(fd, parts->iov_base, parts->iov_len, flags); }

static ssize_t go_sendmsg(int fd, const struct iovec *parts, int n, const struct msghdr *message, int flags) { return real_sendmsg(fd, message, flags); }

ssize_t write(int fd, const void *data, size_t size) {
  struct iovec part = {(void *)data, size};
  return sent(fd, &part, 1, go_write, NULL, 0);
}
ssize_t writev(int fd, const struct iovec *parts, int n) { return sent(fd, parts, n, go_writev, NULL, 0); }
ssize_t send(int fd, const void *data, size_t size, int flags) {
  struct iovec part = {(void *)data, size};
  return sent(fd, &part, 1, go_send, NULL, flags);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  return sent(fd, message->msg_iov, (int)message->msg_iovlen, go_sendmsg, message, flags);
}

/* A whole answer may be cut anywhere between two receipts, so any word of the usage will do; message_start tells only of the input. */
static int tells_usage(const void *data, size_t size) {
  static const char *const words[] = {"completion_tokens", "total_tokens", "\"message_delta\"", "output_tokens"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (carries(data, size, words[i], strlen(words[i]))) return !carries(data, size, "message_start", 13);
  return 0;
}

static void came(int fd, const void *data, ssize_t size) {
  if (!point || size <= 0 || fd != __atomic_load_n(&upstream_fd, __ATOMIC_SEQ_CST)) return;
  at("any");
  at("answer_begun");
  if (carries(data, (size_t)size, mark, mark_bytes)) at("mid_stream");
  if (tells_usage(data, (size_t)size)) at("usage_seen");
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
  ssize_t done = real_recv(fd, data, size, flags);
  came(fd, data, done);
  return done;
}
ssize_t read(int fd, void *data, size_t size) {
  ssize_t done = real_read(fd, data, size);
  came(fd, data, done);
  return done;
}
