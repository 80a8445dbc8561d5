#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the server has sent and the process has not read yet. Pages are taken when they are first used. */
static unsigned char buffers[MAX_PROCESSES][2][INPUT_WINDOW_BYTES] __attribute__((aligned(4096)));

static unsigned char *buffer_of(const struct process *p, enum channel channel)
{
  return buffers[p - processes][channel == STDIN ? 0 : 1];
}

void input_receive(struct process *p, const struct frame *f)
{
  if (f->channel != STDIN && f->channel != CONTROL_IN) die("agent: data on a channel that is not an input");
  struct input *in = &p->in[f->channel];
  if (in->fd < 0) return; /* It ended while this was on its way. */
  if (in->ending || f->length > INPUT_WINDOW_BYTES - in->length) die("agent: more input than there was credit for");
  unsigned char *buffer = buffer_of(p, f->channel);
  for (uint32_t done = 0; done < f->length;) {
    uint32_t at = (in->start + in->length) % INPUT_WINDOW_BYTES;
    uint32_t n = f->length - done;
    if (n > INPUT_WINDOW_BYTES - at) n = INPUT_WINDOW_BYTES - at;
    memcpy(buffer + at, f->payload + done, n);
    in->length += n;
    done += n;
  }
  input_pump(p, f->channel);
}

void input_pump(struct process *p, enum channel channel)
{
  struct input *in = &p->in[channel];
  uint32_t written = 0;
  while (in->length > 0) {
    uint32_t n = INPUT_WINDOW_BYTES - in->start;
    if (n > in->length) n = in->length;
    ssize_t done = write(in->fd, buffer_of(p, channel) + in->start, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done <= 0) {
      input_close(p, channel);
      return;
    }
    in->start = (in->start + (uint32_t)done) % INPUT_WINDOW_BYTES;
    in->length -= (uint32_t)done;
    written += (uint32_t)done;
  }
  if (in->length == 0 && in->ending) {
    /* A terminal has no end of its own: the line discipline makes one of this byte. */
    if (p->terminal && write(in->fd, "\004", 1) < 0 && errno == EAGAIN) return;
    input_close(p, channel);
    return;
  }
  if (written == 0) return;
  unsigned char payload[4];
  write_u32(payload, written);
  send_frame(p->id, FRAME_CREDIT, (uint8_t)channel, payload, sizeof payload);
}

void input_close(struct process *p, enum channel channel)
{
  struct input *in = &p->in[channel];
  if (in->fd < 0) return;
  /* A terminal is one descriptor for both ways: it stays open for what is still to be read. */
  if (p->out[STDOUT].fd != in->fd) close(in->fd);
  in->fd = -1;
  (void)madvise(buffer_of(p, channel), INPUT_WINDOW_BYTES, MADV_DONTNEED);
  send_frame(p->id, FRAME_END, (uint8_t)channel, NULL, 0);
  process_free_if_over(p);
}

bool output_is_wanted(const struct process *p, enum channel channel)
{
  const struct output *out = &p->out[channel];
  if (out->fd < 0 || out->credit == 0) return false;
  return channel != CONTROL_OUT || p->held_length == 0;
}

void barriers_raise(struct process *p)
{
  for (int c = STDOUT; c <= STDERR; c++) {
    p->out[c].barrier = 0;
    if (p->out[c].fd >= 0 && !p->terminal) (void)ioctl(p->out[c].fd, FIONREAD, &p->out[c].barrier);
  }
}

void held_release(struct process *p)
{
  if (p->out[STDOUT].barrier > 0 || p->out[STDERR].barrier > 0) return;
  if (p->held_length > 0) send_frame(p->id, FRAME_DATA, CONTROL_OUT, p->held, p->held_length);
  p->held_length = 0;
  if (!p->exit_held) return;
  p->exit_held = false;
  send_frame(p->id, FRAME_EXITED, 0, p->held_exit, sizeof p->held_exit);
  p->exited = true;
  process_free_if_over(p);
}

/* A marker is read first and the pipes measured afterwards: what was written before it is among those bytes. */
static void control_pump(struct process *p)
{
  struct output *out = &p->out[CONTROL_OUT];
  size_t most = out->credit < sizeof p->held ? out->credit : sizeof p->held;
  ssize_t n = read(out->fd, p->held, most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    output_close(p, CONTROL_OUT);
    return;
  }
  out->credit -= (uint32_t)n;
  p->held_length = (size_t)n;
  barriers_raise(p);
  held_release(p);
}

void output_pump(struct process *p, enum channel channel)
{
  if (channel == CONTROL_OUT) {
    control_pump(p);
    return;
  }
  struct output *out = &p->out[channel];
  /* It has been started, or it would have nothing to say. */
  if (p->report_fd >= 0) process_settle_start(p);
  if (p->id == 0) return;
  size_t most = out->credit < MAX_PAYLOAD_BYTES ? out->credit : MAX_PAYLOAD_BYTES;
  ssize_t n = read(out->fd, data_space(), most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) { /* EIO is how a terminal says that nobody has it open. */
    output_close(p, channel);
    return;
  }
  send_data(p->id, (uint8_t)channel, (size_t)n);
  out->credit -= (uint32_t)n;
  out->barrier = out->barrier > n ? out->barrier - (int)n : 0;
  held_release(p);
}

void output_drain(struct process *p)
{
  const uint32_t id = p->id;
  for (int c = STDOUT; c <= STDERR; c++) {
    uint32_t before = 0;
    /* Without an end and without having taken anything: the rest is of those who have the pipe still. */
    while (p->id == id && output_is_wanted(p, c) && room_for_data() && p->out[c].credit != before) {
      before = p->out[c].credit;
      output_pump(p, c);
    }
  }
}

void output_close(struct process *p, enum channel channel)
{
  struct output *out = &p->out[channel];
  if (out->fd < 0) return;
  int fd = out->fd;
  if (p->terminal) input_close(p, STDIN);
  if (out->far_fd >= 0) close(out->far_fd);
  out->fd = out->far_fd = -1;
  out->barrier = 0;
  close(fd);
  if (channel == CONTROL_OUT) p->held_length = 0;
  send_frame(p->id, FRAME_END, (uint8_t)channel, NULL, 0);
  held_release(p);
  process_free_if_over(p);
}

void channel_end_received(struct process *p, uint8_t channel)
{
  if (channel >= CHANNELS) die("agent: no such channel");
  if (channel == STDIN || channel == CONTROL_IN) {
    struct input *in = &p->in[channel];
    if (in->fd < 0) return;
    in->ending = true;
    input_pump(p, channel);
    return;
  }
  output_close(p, channel);
}

void credit_received(struct process *p, const struct frame *f)
{
  if (f->length != 4 || f->channel >= CHANNELS) die("agent: a malformed CREDIT");
  uint32_t more = read_u32(f->payload);
  struct output *out = &p->out[f->channel];
  if (out->fd < 0) return;
  if (more > UINT32_MAX - out->credit) die("agent: too much credit");
  out->credit += more;
}
