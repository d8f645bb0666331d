/* sseload.c: load on a streaming chat endpoint, 127.0.0.1 only.
 *
 * usage: sseload closed PORT PATH BODY_FILE CONNECTIONS SECONDS [HEADER...]
 *          each connection asks for one stream after another
 *        sseload open PORT PATH BODY_FILE CONNECTIONS RAMP_MS WINDOW_MS [HEADER...]
 *          each connection asks for one stream only; the starts are spread evenly over RAMP_MS, so that the streams' events are too,
 *          and only events sent in the WINDOW_MS after the last start (and 200 ms) count: all streams are open then
 *
 * The stand-in writes the time of sending into each content event ("@" and 18 digits of nanoseconds of CLOCK_MONOTONIC); an event's
 * latency is the time of its receipt here less that. Prints one line of JSON, times in microseconds: streams, errors, events (those
 * that count), time from the request to the first event, whole streams, and the latency of events.
 * What it does not know: what the events say, apart from their times and the last [DONE]. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 1 << 20, BODY_BYTES_MAX = 1 << 20, HEAD_BYTES_MAX = 8192, EVENTS_AT_ONCE = 256, ERRORS_MAX = 50 };
static const long NS = 1000000000L, SETTLE_NS = 200000000L, OVERTIME_NS = 10 * 1000000000L;

typedef struct {
  int fd, status, chunked, closing, done;
  size_t n, at, head; /* bytes received, scanned, and of the answer's head */
  long sent_ns, first_ns;
  char *bytes;
} conn;

typedef struct {
  long *ns;
  size_t n, cap;
} times;

static struct sockaddr_in address;
static char *request;
static size_t request_bytes;
static int epoll_fd;
static times first_event, whole, event;
static long window_from_ns, window_to_ns, errors;

static long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * NS + t.tv_nsec;
}

static void add(times *t, long ns) {
  if (t->n == t->cap) t->ns = realloc(t->ns, (t->cap = t->cap ? 2 * t->cap : 4096) * sizeof *t->ns);
  t->ns[t->n++] = ns;
}

static int by_size(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return x < y ? -1 : x > y;
}

/* the q-quantile in microseconds, -1 without values; the times are sorted */
static double us(const times *t, double q) { return t->n ? t->ns[(size_t)((t->n - 1) * q)] / 1e3 : -1; }

static void fail(conn *c, const char *why) {
  if (!errors++) fprintf(stderr, "sseload: %s: %.*s\n", why, (int)(c->n < 600 ? c->n : 600), c->bytes);
}

static void dial(conn *c) {
  if (c->fd >= 0) close(c->fd);
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&address, sizeof address)) { perror("sseload: connect"); exit(1); }
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event e = {EPOLLIN, {.ptr = c}};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void ask(conn *c) {
  c->n = c->at = c->head = 0;
  c->status = c->chunked = c->closing = c->done = 0;
  c->first_ns = 0;
  c->sent_ns = now_ns();
  if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) == (ssize_t)request_bytes) return;
  dial(c);
  if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes) fail(c, "cannot send");
}

static void read_head(conn *c) {
  char *end = memmem(c->bytes, c->n, "\r\n\r\n", 4);
  if (!end) return;
  *end = 0;
  c->status = atoi(c->bytes + 9);
  c->chunked = strcasestr(c->bytes, "\r\ntransfer-encoding: chunked") != NULL;
  c->closing = strcasestr(c->bytes, "\r\nconnection: close") != NULL;
  *end = '\r';
  c->head = c->at = end + 4 - c->bytes;
}

static void read_events(conn *c, long received_ns) {
  for (;;) {
    char *data = memmem(c->bytes + c->at, c->n - c->at, "\ndata: ", 7);
    if (!data && c->at == c->head && c->n - c->at >= 6 && (data = memmem(c->bytes + c->at, c->n - c->at, "data: ", 6))) data--;
    if (!data) return;
    char *end = memmem(data + 7, c->bytes + c->n - data - 7, "\n", 1);
    if (!end) { c->at = data - c->bytes; return; } /* an event counts when it is whole */
    if (!c->first_ns) c->first_ns = received_ns;
    if (!memcmp(data + 7, "[DONE]", 6)) c->done = 1;
    char *stamp = memmem(data, end - data, "\"@", 2);
    if (stamp) {
      long sent_ns = strtol(stamp + 2, NULL, 10);
      if (sent_ns >= window_from_ns && sent_ns < window_to_ns) add(&event, received_ns - sent_ns);
    }
    c->at = end - c->bytes;
  }
}

/* reads what has come; 1 when the stream is over, well or not */
static int readable(conn *c) {
  ssize_t n = recv(c->fd, c->bytes + c->n, ANSWER_BYTES_MAX - c->n, 0);
  if (n < 0 && errno == EAGAIN) return 0;
  long t = now_ns();
  int over = n <= 0;
  if (over) c->closing = 1;
  else {
    c->n += n;
    c->bytes[c->n] = 0;
    if (!c->head) read_head(c);
    if (c->head) read_events(c, t);
    if (c->head && c->chunked) over = c->n - c->head >= 5 && !memcmp(c->bytes + c->n - 5, "0\r\n\r\n", 5);
    else if (c->head && c->status != 200) over = c->closing = 1;
    if (c->n >= ANSWER_BYTES_MAX) over = c->closing = 1;
  }
  if (!over) return 0;
  if (c->status != 200 || !c->first_ns || !c->done) fail(c, "bad answer");
  else { add(&first_event, c->first_ns - c->sent_ns); add(&whole, t - c->sent_ns); }
  return 1;
}

static void write_request(const char *port, const char *path, const char *body_file, char **headers, int n) {
  static char body[BODY_BYTES_MAX];
  FILE *f = fopen(body_file, "rb");
  if (!f) { perror(body_file); exit(2); }
  size_t body_bytes = fread(body, 1, sizeof body, f);
  fclose(f);
  request = malloc(body_bytes + HEAD_BYTES_MAX);
  request_bytes = sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", path, port, body_bytes);
  for (int i = 0; i < n; i++) request_bytes += sprintf(request + request_bytes, "%s\r\n", headers[i]);
  request_bytes += sprintf(request + request_bytes, "\r\n");
  memcpy(request + request_bytes, body, body_bytes);
  request_bytes += body_bytes;
}

static void report(double seconds) {
  times *all[] = {&first_event, &whole, &event};
  for (int i = 0; i < 3; i++) if (all[i]->n) qsort(all[i]->ns, all[i]->n, sizeof(long), by_size);
  printf("{\"streams\":%zu,\"errors\":%ld,\"seconds\":%.3f,\"events\":%zu,\"first_p50\":%.1f,\"first_p99\":%.1f,\"whole_p50\":%.1f,"
         "\"event_p50\":%.1f,\"event_p90\":%.1f,\"event_p99\":%.1f,\"event_max\":%.1f}\n",
         whole.n, errors, seconds, event.n, us(&first_event, .5), us(&first_event, .99), us(&whole, .5), us(&event, .5), us(&event, .9), us(&event, .99), us(&event, 1));
}

int main(int argc, char **argv) {
  int open_load = argc > 1 && !strcmp(argv[1], "open"), fixed = open_load ? 8 : 7;
  if (argc < fixed) { fprintf(stderr, "usage: sseload closed|open PORT PATH BODY_FILE CONNECTIONS SECONDS|RAMP_MS WINDOW_MS [HEADER...]\n"); return 2; }
  int connections = atoi(argv[5]), live = 0, started = 0;
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  write_request(argv[2], argv[3], argv[4], argv + fixed, argc - fixed);
  epoll_fd = epoll_create1(0);
  conn *conns = calloc(connections, sizeof *conns);
  long start = now_ns(), ramp_ns = open_load ? atol(argv[6]) * 1000000 : 0, end = start + (open_load ? 0 : (long)(atof(argv[6]) * NS)), over_ns = start;
  window_from_ns = open_load ? start + ramp_ns + SETTLE_NS : start;
  window_to_ns = open_load ? window_from_ns + atol(argv[7]) * 1000000 : end;
  struct epoll_event events[EVENTS_AT_ONCE];
  while ((started < connections || live) && now_ns() < window_to_ns + OVERTIME_NS) {
    long next = start + (connections ? ramp_ns * started / connections : 0), left = next - now_ns();
    if (started < connections && left <= 0) {
      conn *c = &conns[started++];
      c->fd = -1;
      c->bytes = malloc(ANSWER_BYTES_MAX + 1);
      dial(c);
      ask(c);
      live++;
      left = 0;
    }
    if (started == connections || left > NS) left = NS;
    struct timespec wait = {left / NS, left % NS};
    int n = epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, &wait, NULL);
    for (int i = 0; i < n; i++) {
      conn *c = events[i].data.ptr;
      if (!readable(c)) continue;
      over_ns = now_ns();
      if (!open_load && over_ns < end && errors < ERRORS_MAX) { if (c->closing) dial(c); ask(c); }
      else { close(c->fd); c->fd = -1; live--; }
    }
  }
  errors += live + connections - started; /* streams that did not end in time */
  report((over_ns - start) / 1e9);
  return 0;
}
