#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int signal_fd = -1;

static void harden(void)
{
  /* Not dumpable: nobody else in here may trace us, read our memory or open what is under /proc/1/fd. */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    die("agent: cannot protect itself");
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  /* No core file is as small as a byte; and at 0, unlike at 1, the host's handler of core dumps would be started. */
  struct rlimit least = {1, 1};
  if (setrlimit(RLIMIT_CORE, &least) < 0) (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static void watch_children(void)
{
  /* Nothing that we start ignores a signal because whoever started us does. */
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int s = 1; s <= 64; s++) (void)sigaction(s, &standard, NULL);
  sigset_t all;
  sigfillset(&all);
  /* As process 1 we get from inside only what we ask for; blocking all makes that so elsewhere too. */
  if (sigprocmask(SIG_SETMASK, &all, NULL) < 0) die("agent: cannot block signals");
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) die("agent: cannot watch its children");
}

static void reap(void)
{
  int status;
  struct rusage use;
  while (room_for_answer()) {
    pid_t pid = wait4(-1, &status, WNOHANG, &use);
    if (pid <= 0) return;
    struct process *p = process_by_pid(pid);
    if (p != NULL) process_exited(p, status, &use);
  }
}

static void resize(struct process *p, const struct frame *f)
{
  if (f->length != 4) die("agent: a malformed RESIZE");
  struct winsize size = {.ws_row = read_u16(f->payload), .ws_col = read_u16(f->payload + 2)};
  if (p->terminal && p->out[STDOUT].fd >= 0) (void)ioctl(p->out[STDOUT].fd, TIOCSWINSZ, &size);
}

static void handle(const struct frame *f)
{
  if (f->type == FRAME_LISTEN) {
    stream_listen(f);
    return;
  }
  if (f->type == FRAME_CONNECT) {
    stream_connect(f);
    return;
  }
  if (f->type >= FRAME_STREAM_DATA && f->type <= FRAME_STREAM_RESET) {
    stream_handle(f);
    return;
  }
  if (f->type == FRAME_SPEC) {
    spawn_gather(f);
    return;
  }
  if (f->type == FRAME_SPAWN) {
    spawn_start(f);
    return;
  }
  if (f->type == FRAME_FILTER) {
    filter_install(f);
    return;
  }
  if (f->type == FRAME_SYNCED) {
    sync_done(f);
    return;
  }
  /* The server may not have heard yet that a process is over: then `p` is none, and that is no fault. */
  struct process *p = process_by_id(f->id);
  switch (f->type) {
  case FRAME_SIGNAL:
    if (f->length != 2 || f->payload[0] < 1 || f->payload[0] > 64 || f->payload[1] > TO_TREE)
      die("agent: a malformed SIGNAL");
    tree_signal(f->id, p == NULL ? 0 : p->pid, f->payload[0], f->payload[1]);
    break;
  case FRAME_DATA:
    if (p != NULL) input_receive(p, f);
    break;
  case FRAME_END:
    if (p != NULL) channel_end_received(p, f->channel);
    break;
  case FRAME_CREDIT:
    if (p != NULL) credit_received(p, f);
    break;
  case FRAME_RESIZE:
    if (p != NULL) resize(p, f);
    break;
  case FRAME_PING:
    if (f->length != 4) die("agent: a malformed PING");
    send_frame(0, FRAME_PONG, 0, f->payload, 4);
    break;
  default:
    die("agent: an unknown frame");
  }
}

/* What one entry of the poll set is about. */
struct watch {
  int slot;
  enum { REPORT, INPUT, OUTPUT, STREAM, LISTENER } kind;
  enum channel channel;
};
#define MAX_WATCHES (4 + MAX_PROCESSES * (1 + CHANNELS) + MAX_STREAMS)
static struct pollfd set[MAX_WATCHES];
static struct watch watches[MAX_WATCHES];

static nfds_t watch(nfds_t n, int fd, short events, struct watch what)
{
  set[n] = (struct pollfd){.fd = fd, .events = events};
  watches[n] = what;
  return n + 1;
}

/* When somebody's report is due that is not watched yet. */
static uint64_t next_due_ns;

static nfds_t watch_process(nfds_t n, int slot, uint64_t at_ns)
{
  const struct process *p = &processes[slot];
  if (p->id == 0) return n;
  if (p->report_fd >= 0 && p->report_due_ns <= at_ns) n = watch(n, p->report_fd, POLLIN, (struct watch){slot, REPORT, 0});
  else if (p->report_fd >= 0 && p->report_due_ns < next_due_ns) next_due_ns = p->report_due_ns;
  for (int c = 0; c < CHANNELS; c++) {
    const struct input *in = &p->in[c];
    /* With no events asked for, the end of the last reader still shows. */
    if (in->fd >= 0 && !p->terminal) n = watch(n, in->fd, in->length > 0 ? POLLOUT : 0, (struct watch){slot, INPUT, c});
    else if (in->fd >= 0 && in->length > 0) n = watch(n, in->fd, POLLOUT, (struct watch){slot, INPUT, c});
    /* A pipe without credit is left out: its hang-up would wake us again and again. */
    if (room_for_data() && output_is_wanted(p, c)) n = watch(n, p->out[c].fd, POLLIN, (struct watch){slot, OUTPUT, c});
  }
  return n;
}

static nfds_t watch_stream(nfds_t n, int slot)
{
  short events = streams[slot].fd < 0 ? 0 : stream_events(&streams[slot]);
  return events == 0 ? n : watch(n, streams[slot].fd, events, (struct watch){slot, STREAM, 0});
}

static void serve(const struct pollfd *ready, const struct watch *what)
{
  if (what->kind == LISTENER || what->kind == STREAM) {
    if (ready->revents == 0 || !room_for_answer()) return;
    if (what->kind == LISTENER) stream_accept();
    else if (streams[what->slot].fd == ready->fd) stream_serve(&streams[what->slot], ready->revents);
    return;
  }
  struct process *p = &processes[what->slot];
  if (ready->revents == 0 || p->id == 0 || !room_for_answer()) return;
  if (what->kind == REPORT && p->report_fd == ready->fd) process_settle_start(p);
  if (what->kind == INPUT && p->in[what->channel].fd == ready->fd) {
    if ((ready->revents & POLLERR) && !p->terminal) input_close(p, what->channel);
    else input_pump(p, what->channel);
  }
  if (what->kind == OUTPUT && p->out[what->channel].fd == ready->fd && room_for_data()) output_pump(p, what->channel);
}

static _Noreturn void run(void)
{
  /* Whoever was served first last time is served last next time, so that no output starves another. */
  bool stalled = false;
  for (int turn = 0;; turn++) {
    nfds_t n = watch(0, channel_fd(), (short)((room_for_answer() ? POLLIN : 0) | (channel_wants_write() ? POLLOUT : 0)),
                     (struct watch){0});
    n = watch(n, room_for_answer() ? signal_fd : -1, POLLIN, (struct watch){0});
    n = watch(n, room_for_answer() ? sync_fd() : -1, POLLIN, (struct watch){0});
    next_due_ns = UINT64_MAX;
    const uint64_t at_ns = process_slots > 0 ? now_ns() : 0;
    for (int half = 0; half < 2; half++) {
      bool processes_now = ((turn + half) & 1) == 0;
      for (int i = 0; processes_now && i < process_slots; i++) n = watch_process(n, (i + turn) % process_slots, at_ns);
      for (int i = 0; !processes_now && i < stream_slots; i++) n = watch_stream(n, (i + turn) % stream_slots);
    }
    /* Last, so that what is accepted now has no place in this turn. */
    if (room_for_answer() && stream_listener() >= 0) n = watch(n, stream_listener(), POLLIN, (struct watch){0, LISTENER, 0});
    int most_ms = next_due_ns == UINT64_MAX ? -1 : (int)((next_due_ns - at_ns) / 1000000u) + 1;
    if (poll(set, n, stalled && room_for_answer() ? 0 : most_ms) < 0 && errno != EINTR) die("agent: cannot poll");
    if (set[1].revents) {
      struct signalfd_siginfo told[16];
      while (read(signal_fd, told, sizeof told) > 0) {}
    }
    if (set[0].revents & (POLLIN | POLLHUP | POLLERR) && room_for_answer()) channel_fill();
    struct frame f;
    while (room_for_answer() && next_frame(&f)) handle(&f);
    if (set[2].revents & POLLIN && room_for_answer()) sync_asked();
    for (nfds_t i = 3; i < n; i++) serve(&set[i], &watches[i]);
    reap();
    /* What was left for want of room wakes nobody once the flush has made some. */
    stalled = !room_for_answer();
    channel_flush();
  }
}

#define USAGE "usage: croft-agent FD [FILES [FILE-BYTES]], or connect PATH in the place of FD"

static long number(const char *text)
{
  char *end;
  long value = strtol(text, &end, 10);
  return end == text || *end != '\0' ? -1 : value;
}

/* A dash, or nothing, is no limit; anything that is no number ends us. */
static rlim_t limit(int argc, char **argv, int at)
{
  if (argc <= at || strcmp(argv[at], "-") == 0) return RLIM_INFINITY;
  long value = number(argv[at]);
  if (value < 1) die(USAGE);
  return (rlim_t)value;
}

/* Where no descriptor can be handed to us: the server takes one connection there, and that is ours. */
static int connect_to(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) die("agent: the path to connect to is too long");
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("agent: cannot connect");
  return fd;
}

int main(int argc, char **argv)
{
  if (argc >= 2 && strcmp(argv[1], "join") == 0) join_and_exec(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "refuse") == 0) refuse_networks(argc, argv);
  long fd = argc >= 2 ? number(argv[1]) : -1;
  if (argc >= 3 && strcmp(argv[1], "connect") == 0) {
    fd = connect_to(argv[2]);
    argv++, argc--;
  }
  if (argc > 4 || fd < 3 || fd > 65535) die(USAGE);
  rlim_t most_files = limit(argc, argv, 2), most_file_bytes = limit(argc, argv, 3);
  harden();
  slice_shorten();
  /* Whatever else we were given, the file we were started from among it, nobody needs. */
  if (fd > 3) (void)syscall(SYS_close_range, 3, (unsigned)fd - 1, 0);
  (void)syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0);
  channel_open((int)fd);
  tree_init();
  spawn_init(most_files, most_file_bytes);
  watch_children();
  static const unsigned char hello[6] = {'C', 'R', 'F', 'T', PROTOCOL_VERSION, 0};
  send_frame(0, FRAME_HELLO, 0, hello, sizeof hello);
  channel_flush();
  run();
}
