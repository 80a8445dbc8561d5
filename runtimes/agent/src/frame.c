#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The most that one event makes us say: bytes held from CONTROL_OUT, and the ends of some channels. */
#define ANSWER_BYTES 1024u
#define KEPT_FOR_ANSWERS 4096u

static int fd = -1;
static unsigned char in[2 * (HEADER_BYTES + MAX_PAYLOAD_BYTES)];
static size_t in_start, in_end;
static unsigned char out[4 * (HEADER_BYTES + MAX_PAYLOAD_BYTES) + KEPT_FOR_ANSWERS];
static size_t out_start, out_end;

void channel_open(int opened)
{
  fd = opened;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    die("agent: the channel is not open");
}

int channel_fd(void) { return fd; }
bool channel_wants_write(void) { return out_end > out_start; }

static size_t room(void) { return sizeof out - (out_end - out_start); }
bool room_for_answer(void) { return room() >= ANSWER_BYTES; }
bool room_for_data(void) { return room() >= KEPT_FOR_ANSWERS + HEADER_BYTES + MAX_PAYLOAD_BYTES; }

/* The server may close while we speak: that is an end like any other. */
static _Noreturn void broken(void)
{
  die(errno == EPIPE || errno == ECONNRESET ? NULL : "agent: the channel is broken");
}

void channel_flush(void)
{
  while (out_end > out_start) {
    ssize_t n = write(fd, out + out_start, out_end - out_start);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) broken();
    out_start += (size_t)n;
  }
  if (out_start == out_end) out_start = out_end = 0;
}

void channel_fill(void)
{
  if (in_start > 0) {
    memmove(in, in + in_start, in_end - in_start);
    in_end -= in_start;
    in_start = 0;
  }
  if (in_end == sizeof in) return;
  ssize_t n = read(fd, in + in_end, sizeof in - in_end);
  if (n == 0) die(NULL);
  if (n < 0 && errno != EINTR && errno != EAGAIN) broken();
  if (n > 0) in_end += (size_t)n;
}

bool next_frame(struct frame *into)
{
  size_t there = in_end - in_start;
  if (there < HEADER_BYTES) return false;
  const unsigned char *head = in + in_start;
  into->id = read_u32(head);
  into->type = head[4];
  into->channel = head[5];
  into->length = read_u16(head + 6);
  if (into->length > MAX_PAYLOAD_BYTES) die("agent: a frame is too long");
  if (there < HEADER_BYTES + into->length) return false;
  into->payload = head + HEADER_BYTES;
  in_start += HEADER_BYTES + into->length;
  return true;
}

/* The free bytes are at the end, after what waits has been moved to the front if it must be. */
static unsigned char *space(size_t length)
{
  if (sizeof out - out_end < length) {
    memmove(out, out + out_start, out_end - out_start);
    out_end -= out_start;
    out_start = 0;
  }
  if (sizeof out - out_end < length) die("agent: sends without room");
  return out + out_end;
}

static void head(unsigned char *to, uint32_t id, uint8_t type, uint8_t channel, size_t length)
{
  write_u32(to, id);
  to[4] = type;
  to[5] = channel;
  to[6] = (unsigned char)length;
  to[7] = (unsigned char)(length >> 8);
}

void send_frame(uint32_t id, uint8_t type, uint8_t channel, const void *payload, size_t length)
{
  unsigned char *to = space(HEADER_BYTES + length);
  head(to, id, type, channel, length);
  if (length > 0) memcpy(to + HEADER_BYTES, payload, length);
  out_end += HEADER_BYTES + length;
}

unsigned char *data_space(void) { return space(HEADER_BYTES + MAX_PAYLOAD_BYTES) + HEADER_BYTES; }

void send_data(uint32_t id, uint8_t channel, size_t length)
{
  head(out + out_end, id, FRAME_DATA, channel, length);
  out_end += HEADER_BYTES + length;
}

void send_stream_data(uint32_t id, size_t length)
{
  head(out + out_end, id, FRAME_STREAM_DATA, 0, length);
  out_end += HEADER_BYTES + length;
}

uint16_t read_u16(const unsigned char *b) { return (uint16_t)(b[0] | b[1] << 8); }
uint32_t read_u32(const unsigned char *b) { return (uint32_t)read_u16(b) | (uint32_t)read_u16(b + 2) << 16; }
void write_u32(unsigned char *b, uint32_t v)
{
  for (int i = 0; i < 4; i++) b[i] = (unsigned char)(v >> 8 * i);
}
void write_u64(unsigned char *b, uint64_t v)
{
  for (int i = 0; i < 8; i++) b[i] = (unsigned char)(v >> 8 * i);
}
