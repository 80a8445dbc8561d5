#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Connections between the sandbox's own loop-back and the server: those that programs make to the one port we
 * listen on, and those that the server asks for. We know nothing of what goes over them. An id is ours where its
 * top bit is set, else the server's; it is forgotten by both sides with CLOSED, which we alone send.
 */
#define ACCEPTED_ID 0x80000000u
#define BACKLOG 128

struct stream streams[MAX_STREAMS];
int stream_slots;

static unsigned char buffers[MAX_STREAMS][INPUT_WINDOW_BYTES] __attribute__((aligned(4096)));
static int listen_fd = -1;
static uint32_t most_accepted, accepted_now, accepted_window, last_accepted;

static struct stream *stream_by_id(uint32_t id)
{
  for (int i = 0; i < stream_slots; i++)
    if (streams[i].fd >= 0 && streams[i].id == id) return &streams[i];
  return NULL;
}

static struct stream *stream_slot(void)
{
  for (int i = 0; i < MAX_STREAMS; i++) {
    if (i < stream_slots && streams[i].fd >= 0) continue;
    memset(&streams[i], 0, sizeof streams[i]);
    streams[i].fd = -1;
    if (i >= stream_slots) stream_slots = i + 1;
    return &streams[i];
  }
  return NULL;
}

static void trim(void)
{
  while (stream_slots > 0 && streams[stream_slots - 1].fd < 0) stream_slots--;
}

static void say_closed(uint32_t id, int error)
{
  unsigned char payload[4];
  write_u32(payload, (uint32_t)error);
  send_frame(id, FRAME_STREAM_CLOSED, 0, payload, sizeof payload);
}

static void stream_close(struct stream *s, int error)
{
  if (error != 0) {
    /* Whoever is at the other end must not take a broken stream for a whole one: this sends a reset. */
    struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  close(s->fd);
  s->fd = -1;
  if (s->id & ACCEPTED_ID) accepted_now--;
  (void)madvise(buffers[s - streams], INPUT_WINDOW_BYTES, MADV_DONTNEED);
  say_closed(s->id, error);
  trim();
}

static void close_if_over(struct stream *s)
{
  if (s->read_over && s->write_over) stream_close(s, 0);
}

void stream_listen(const struct frame *f)
{
  if (f->length != 12 || listen_fd >= 0) die("agent: a malformed LISTEN");
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(read_u16(f->payload))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  most_accepted = read_u32(f->payload + 4);
  accepted_window = read_u32(f->payload + 8);
  if (most_accepted > MAX_STREAMS) die("agent: a malformed LISTEN");
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, error = 0;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0
      || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0)
    error = errno;
  if (error == 0) listen_fd = fd;
  else if (fd >= 0) close(fd);
  unsigned char payload[4];
  write_u32(payload, (uint32_t)error);
  send_frame(f->id, FRAME_LISTENING, 0, payload, sizeof payload);
}

int stream_listener(void) { return accepted_now < most_accepted ? listen_fd : -1; }

static void prepare(int fd)
{
  int one = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void stream_accept(void)
{
  struct stream *s = stream_slot();
  if (s == NULL) return;
  int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    trim();
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    /* Somebody inside has lowered our limits: waiting would be a loop that never sleeps. */
    die("agent: cannot accept connections");
  }
  prepare(fd);
  do last_accepted = (last_accepted + 1) | ACCEPTED_ID;
  while (stream_by_id(last_accepted) != NULL);
  s->id = last_accepted;
  s->fd = fd;
  s->credit = accepted_window;
  accepted_now++;
  send_frame(s->id, FRAME_ACCEPTED, 0, NULL, 0);
}

void stream_connect(const struct frame *f)
{
  if (f->length != 8 || (f->id & ACCEPTED_ID) || f->id == 0 || stream_by_id(f->id) != NULL)
    die("agent: a malformed CONNECT");
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } to = {0};
  uint16_t port = htons(read_u16(f->payload)), family = read_u16(f->payload + 2);
  if (family == 6) to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  else to.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct stream *s = stream_slot();
  if (s == NULL) {
    say_closed(f->id, EAGAIN);
    return;
  }
  int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || (connect(fd, &to.any, family == 6 ? sizeof to.v6 : sizeof to.v4) < 0 && errno != EINPROGRESS)) {
    int error = errno;
    if (fd >= 0) close(fd);
    trim();
    say_closed(f->id, error);
    return;
  }
  prepare(fd);
  s->id = f->id;
  s->fd = fd;
  s->credit = read_u32(f->payload + 4);
  s->connecting = true;
}

short stream_events(const struct stream *s)
{
  if (s->connecting) return POLLOUT;
  short events = s->length > 0 ? POLLOUT : 0;
  /* One that wants nothing is left out of the set: its hang-up would wake us again and again. */
  if (!s->read_over && s->credit > 0 && room_for_data()) events |= POLLIN;
  return events;
}

static void settle_connect(struct stream *s)
{
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  struct sockaddr_in6 peer;
  socklen_t length = sizeof peer;
  /* Woken for a socket that had this number before: there is no error yet, and no connection either. */
  if (error == 0 && getpeername(s->fd, (struct sockaddr *)&peer, &length) < 0 && errno == ENOTCONN) return;
  if (error != 0) {
    stream_close(s, error);
    return;
  }
  s->connecting = false;
  send_frame(s->id, FRAME_CONNECTED, 0, NULL, 0);
}

static void write_out(struct stream *s)
{
  uint32_t written = 0;
  unsigned char *buffer = buffers[s - streams];
  while (s->length > 0) {
    uint32_t n = INPUT_WINDOW_BYTES - s->start;
    if (n > s->length) n = s->length;
    ssize_t done = send(s->fd, buffer + s->start, n, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) {
      stream_close(s, errno);
      return;
    }
    s->start = (s->start + (uint32_t)done) % INPUT_WINDOW_BYTES;
    s->length -= (uint32_t)done;
    written += (uint32_t)done;
  }
  if (written > 0) {
    unsigned char payload[4];
    write_u32(payload, written);
    send_frame(s->id, FRAME_STREAM_CREDIT, 0, payload, sizeof payload);
  }
  if (s->length > 0 || !s->ending || s->write_over) return;
  s->write_over = true;
  (void)shutdown(s->fd, SHUT_WR);
  close_if_over(s);
}

static void read_in(struct stream *s)
{
  size_t most = s->credit < MAX_PAYLOAD_BYTES ? s->credit : MAX_PAYLOAD_BYTES;
  ssize_t n = read(s->fd, data_space(), most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    stream_close(s, errno);
    return;
  }
  if (n > 0) {
    send_stream_data(s->id, (size_t)n);
    s->credit -= (uint32_t)n;
    return;
  }
  s->read_over = true;
  send_frame(s->id, FRAME_STREAM_END, 0, NULL, 0);
  close_if_over(s);
}

void stream_serve(struct stream *s, short ready)
{
  if (s->connecting) {
    settle_connect(s);
    return;
  }
  if (s->length > 0 && (ready & (POLLOUT | POLLERR | POLLHUP))) write_out(s);
  if (s->fd < 0 || s->read_over || s->credit == 0 || !room_for_data()) return;
  if (ready & (POLLIN | POLLERR | POLLHUP)) read_in(s);
}

static void receive(struct stream *s, const struct frame *f)
{
  if (s->ending || f->length > INPUT_WINDOW_BYTES - s->length) die("agent: more of a stream than there was credit for");
  unsigned char *buffer = buffers[s - streams];
  for (uint32_t done = 0; done < f->length;) {
    uint32_t at = (s->start + s->length) % INPUT_WINDOW_BYTES;
    uint32_t n = f->length - done;
    if (n > INPUT_WINDOW_BYTES - at) n = INPUT_WINDOW_BYTES - at;
    memcpy(buffer + at, f->payload + done, n);
    s->length += n;
    done += n;
  }
  if (!s->connecting) write_out(s);
}

void stream_handle(const struct frame *f)
{
  /* We may have closed it before the server has heard of that: then it is no fault. */
  struct stream *s = stream_by_id(f->id);
  if (s == NULL) return;
  switch (f->type) {
  case FRAME_STREAM_DATA:
    receive(s, f);
    break;
  case FRAME_STREAM_END:
    s->ending = true;
    if (!s->connecting) write_out(s);
    break;
  case FRAME_STREAM_CREDIT:
    if (f->length != 4 || read_u32(f->payload) > UINT32_MAX - s->credit) die("agent: a malformed credit of a stream");
    s->credit += read_u32(f->payload);
    break;
  default: /* RESET */
    stream_close(s, ECONNRESET);
  }
}
