/* standin.c: a provider's stand-in, small and fast, so that a load test measures the gateway and not the provider.
 *
 * usage: standin PORT [CERT_PEM KEY_PEM]        (TLS with a certificate; build with -DWITH_TLS -lssl -lcrypto)
 *
 * One thread, epoll, 127.0.0.1 only. A POST is answered at once with a fixed chat.completion that carries usage. When its body
 * says "stream":true, the answer is a stream of server-sent events: N content events PACE_US apart (the first at once), then a
 * finish event, a usage event and [DONE]. N and PACE_US come from the body, "bench n=N pace=PACE_US" (default 50 and 4000), so
 * that one stand-in serves every load of a run. Every content event carries the time of its sending, "@" and 18 digits of
 * nanoseconds of CLOCK_MONOTONIC, from which the load generator computes the event's latency. Any GET answers a model list.
 * What it does not know: keys, prices, errors, or more than one model. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
typedef void SSL_CTX;
#endif

enum { REQUEST_BYTES_MAX = 4 << 20, SEARCHED_BYTES = 1024, EVENTS_AT_ONCE = 256, TIMERS_MAX = 1 << 14 };

typedef struct conn {
  int fd, writing, shaken; /* writing: EPOLLOUT is asked for; shaken: the TLS handshake is done (at once without TLS) */
  int step, steps, timer;  /* step: next event of the running stream, -1 without one; timer: index in the heap, -1 without one */
  long pace_ns, due_ns;
  size_t in, in_cap, out, out_cap, out_at;
  char *in_buf, *out_buf;
  SSL *ssl;
} conn;

static int epoll_fd;
static SSL_CTX *tls;
static conn *heap[TIMERS_MAX];
static int timers;
static char json_answer[4096], list_answer[4096], content_event[4096], finish_event[4096], done_tail[64];
static size_t json_bytes, list_bytes, content_bytes, stamp_at, finish_bytes;

static long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* a binary heap of the streams by the time of their next event */
static void place(conn *c, int i) { heap[i] = c; c->timer = i; }

static void sift_up(conn *c, int i) {
  for (; i && heap[(i - 1) / 2]->due_ns > c->due_ns; i = (i - 1) / 2) place(heap[(i - 1) / 2], i);
  place(c, i);
}

static void sift_down(conn *c, int i) {
  for (;;) {
    int child = 2 * i + 1;
    if (child >= timers) break;
    if (child + 1 < timers && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
    if (heap[child]->due_ns >= c->due_ns) break;
    place(heap[child], i);
    i = child;
  }
  place(c, i);
}

static void timer_set(conn *c, long due_ns) {
  if (timers == TIMERS_MAX) { fprintf(stderr, "standin: more than %d streams\n", TIMERS_MAX); exit(1); }
  c->due_ns = due_ns;
  sift_up(c, timers++);
}

static void timer_clear(conn *c) {
  if (c->timer < 0) return;
  int i = c->timer;
  conn *last = heap[--timers];
  c->timer = -1;
  if (last == c) return;
  if (i && heap[(i - 1) / 2]->due_ns > last->due_ns) sift_up(last, i); else sift_down(last, i);
}

static void drop(conn *c) {
  timer_clear(c);
#ifdef WITH_TLS
  if (c->ssl) SSL_free(c->ssl);
#endif
  close(c->fd);
  free(c->in_buf);
  free(c->out_buf);
  free(c);
}

/* bytes moved, 0 when the socket would block, -1 when the connection is over */
static ssize_t move(conn *c, char *to, const char *from, size_t n) {
#ifdef WITH_TLS
  if (c->ssl) {
    int moved = to ? SSL_read(c->ssl, to, n) : SSL_write(c->ssl, from, n);
    if (moved > 0) return moved;
    int why = SSL_get_error(c->ssl, moved);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }
#endif
  ssize_t moved = to ? recv(c->fd, to, n, 0) : send(c->fd, from, n, MSG_NOSIGNAL);
  if (moved > 0) return moved;
  return moved < 0 && errno == EAGAIN ? 0 : -1;
}

static void ask_for_writing(conn *c, int on) {
  if (c->writing == on) return;
  struct epoll_event e = {EPOLLIN | (on ? EPOLLOUT : 0), {.ptr = c}};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
  c->writing = on;
}

static int flush_out(conn *c) {
  while (c->out_at < c->out) {
    ssize_t n = move(c, NULL, c->out_buf + c->out_at, c->out - c->out_at);
    if (n < 0) return -1;
    if (!n) { ask_for_writing(c, 1); return 0; }
    c->out_at += n;
  }
  c->out = c->out_at = 0;
  ask_for_writing(c, 0);
  return 0;
}

static int put(conn *c, const char *bytes, size_t n) {
  if (!c->out) {
    ssize_t sent = move(c, NULL, bytes, n);
    if (sent < 0) return -1;
    if ((size_t)sent == n) return 0;
    bytes += sent;
    n -= sent;
  }
  if (c->out + n > c->out_cap) c->out_buf = realloc(c->out_buf, c->out_cap = 2 * (c->out + n));
  memcpy(c->out_buf + c->out, bytes, n);
  c->out += n;
  return flush_out(c);
}

static const char STREAM_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                                  "Transfer-Encoding: chunked\r\nx-request-id: req_standin\r\n\r\n";

#define MODEL_FIELDS "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_standin\""
#define CHUNK_HEAD "data: {\"id\":\"chatcmpl-standin00000000000000000000\",\"object\":\"chat.completion.chunk\"," MODEL_FIELDS

/* sends the stream's next event; 1: more to come, 0: the stream is done, -1: the connection is over */
static int stream_step(conn *c) {
  char b[4096];
  size_t n = 0;
  if (c->step == 0) { memcpy(b, STREAM_HEAD, sizeof STREAM_HEAD - 1); n = sizeof STREAM_HEAD - 1; }
  if (c->step < c->steps) {
    memcpy(b + n, content_event, content_bytes);
    long t = now_ns();
    for (int i = 17; i >= 0; i--, t /= 10) b[n + stamp_at + i] = '0' + t % 10;
    c->step++;
    return put(c, b, n + content_bytes) < 0 ? -1 : 1;
  }
  char usage[1024];
  int u = sprintf(usage, CHUNK_HEAD ",\"choices\":[],\"usage\":{\"prompt_tokens\":187,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", c->steps, 187 + c->steps);
  memcpy(b + n, finish_event, finish_bytes);
  n += finish_bytes;
  n += sprintf(b + n, "%x\r\n%s\r\n%s", u, usage, done_tail);
  c->step = -1;
  return put(c, b, n) < 0 ? -1 : 0;
}

/* the needle in the head or the tail of the body: where the load generator writes it, wherever a gateway moves it */
static const char *find(const char *body, size_t n, const char *needle) {
  size_t head = n < SEARCHED_BYTES ? n : SEARCHED_BYTES;
  const char *hit = memmem(body, head, needle, strlen(needle));
  return hit || head == n ? hit : memmem(body + n - head, head, needle, strlen(needle));
}

static int answer(conn *c, int post, const char *body, size_t n) {
  if (!post) return put(c, list_answer, list_bytes);
  if (!find(body, n, "\"stream\":true") && !find(body, n, "\"stream\": true")) return put(c, json_answer, json_bytes);
  int steps = 50;
  long pace_us = 4000;
  const char *asked = find(body, n, "bench n=");
  if (asked) sscanf(asked, "bench n=%d pace=%ld", &steps, &pace_us);
  c->step = 0;
  c->steps = steps;
  c->pace_ns = pace_us * 1000;
  if (stream_step(c) < 0) return -1;
  timer_set(c, now_ns() + c->pace_ns);
  return 0;
}

/* bytes of a whole chunked body at p, 0 when it is not whole yet */
static size_t chunked_bytes(const char *p, const char *end) {
  for (const char *at = p;;) {
    const char *line = memmem(at, end - at, "\r\n", 2);
    if (!line) return 0;
    size_t size = strtoul(at, NULL, 16);
    if (!size) return line + 4 > end ? 0 : (size_t)(line + 4 - p);
    at = line + 2 + size + 2;
    if (at >= end) return 0;
  }
}

/* answers the whole requests in the buffer; a running stream leaves the next request waiting */
static int consume(conn *c) {
  while (c->in && c->step < 0) {
    c->in_buf[c->in] = 0;
    char *end = memmem(c->in_buf, c->in, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - c->in_buf, body = 0;
    int chunked = 0;
    for (char *line = c->in_buf; line < end; line = strstr(line, "\r\n") + 2) {
      if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
      else if (!strncasecmp(line, "transfer-encoding:", 18)) chunked = 1;
    }
    if (chunked && !(body = chunked_bytes(c->in_buf + head, c->in_buf + c->in))) return 0;
    if (c->in < head + body) return 0;
    if (answer(c, c->in_buf[0] == 'P', c->in_buf + head, body) < 0) return -1;
    c->in -= head + body;
    memmove(c->in_buf, c->in_buf + head + body, c->in);
  }
  return 0;
}

static int readable(conn *c) {
#ifdef WITH_TLS
  if (!c->shaken) {
    int done = SSL_accept(c->ssl);
    if (done != 1) {
      int why = SSL_get_error(c->ssl, done);
      return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    c->shaken = 1;
  }
#endif
  for (;;) {
    if (c->in + 1 >= c->in_cap) {
      if (c->in_cap >= REQUEST_BYTES_MAX) return -1;
      c->in_buf = realloc(c->in_buf, c->in_cap *= 2);
    }
    size_t room = c->in_cap - c->in - 1;
    ssize_t n = move(c, c->in_buf + c->in, NULL, room);
    if (n < 0) return -1;
    if (!n) return 0;
    c->in += n;
    if (consume(c) < 0) return -1;
    if (!c->ssl && (size_t)n < room) return 0; /* TLS may hold bytes that epoll does not see: read until it would block */
  }
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->step = c->timer = -1;
    c->in_buf = malloc(c->in_cap = 16384);
    c->shaken = !tls;
#ifdef WITH_TLS
    if (tls) { c->ssl = SSL_new(tls); SSL_set_fd(c->ssl, fd); SSL_set_accept_state(c->ssl); }
#endif
    struct epoll_event e = {EPOLLIN, {.ptr = c}};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
  }
}

static void run_timers(void) {
  long now = now_ns();
  while (timers && heap[0]->due_ns <= now) {
    conn *c = heap[0];
    long due = c->due_ns;
    timer_clear(c);
    int more = stream_step(c);
    if (more > 0) timer_set(c, due + c->pace_ns > now ? due + c->pace_ns : now + c->pace_ns);
    else if (more < 0 || consume(c) < 0) drop(c);
  }
}

static void write_answers(void) {
  const char *text = "A gateway sits between an application and the model providers. It checks the caller's key, decides which deployment serves "
                     "the request, forwards it, retries or falls back when a provider fails, counts the tokens that were used, and writes what "
                     "the request cost to a ledger so that budgets hold.";
  const char *usage = "\"usage\":{\"prompt_tokens\":187,\"completion_tokens\":58,\"total_tokens\":245,\"prompt_tokens_details\":{\"cached_tokens\":0,"
                      "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
                      "\"rejected_prediction_tokens\":0}}";
  char body[2048];
  int n = sprintf(body, "{\"id\":\"chatcmpl-standin00000000000000000000\",\"object\":\"chat.completion\"," MODEL_FIELDS ",\"choices\":[{\"index\":0,\"message\":"
                        "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],%s}", text, usage);
  json_bytes = sprintf(json_answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-request-id: req_standin\r\n\r\n%s", n, body);
  n = sprintf(body, "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"standin\"}]}");
  list_bytes = sprintf(list_answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
  n = sprintf(body, CHUNK_HEAD ",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@000000000000000000\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n");
  content_bytes = sprintf(content_event, "%x\r\n%s\r\n", n, body);
  stamp_at = strchr(content_event, '@') + 1 - content_event;
  n = sprintf(body, CHUNK_HEAD ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n");
  finish_bytes = sprintf(finish_event, "%x\r\n%s\r\n", n, body);
  sprintf(done_tail, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
}

static void use_tls(const char *cert, const char *key) {
#ifdef WITH_TLS
  tls = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 || SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
    fprintf(stderr, "standin: cannot read the certificate %s or its key %s\n", cert, key);
    exit(1);
  }
#else
  fprintf(stderr, "standin: built without TLS (%s, %s)\n", cert, key);
  exit(1);
#endif
}

int main(int argc, char **argv) {
  if (argc != 2 && argc != 4) { fprintf(stderr, "usage: standin PORT [CERT_PEM KEY_PEM]\n"); return 2; }
  signal(SIGPIPE, SIG_IGN);
  write_answers();
  if (argc == 4) use_tls(argv[2], argv[3]);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 2048)) { perror("standin"); return 1; }
  epoll_fd = epoll_create1(0);
  struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, events[EVENTS_AT_ONCE];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    struct timespec wait, *until = NULL;
    if (timers) {
      long left = heap[0]->due_ns - now_ns();
      if (left < 0) left = 0;
      wait = (struct timespec){left / 1000000000L, left % 1000000000L};
      until = &wait;
    }
    int n = epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, until, NULL);
    for (int i = 0; i < n; i++) {
      conn *c = events[i].data.ptr;
      if (!c) accept_all(listener);
      else if ((events[i].events & EPOLLOUT && flush_out(c) < 0) || (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && readable(c) < 0)) drop(c);
    }
    run_timers();
  }
}
