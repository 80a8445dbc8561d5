#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* What the frames before a SPAWN brought: cwd, arguments, environment, each ended by a NUL. */
static unsigned char spec[MAX_SPEC_BYTES] __attribute__((aligned(4096)));
static size_t spec_length;
static uint32_t spec_id;
static char *strings[MAX_STRINGS + 3];
static int null_fd = -1;

/* By so much at most the news is late that a process has started to which nothing can be sent. */
#define START_DELAY_NS 2000000u

static struct rlimit files_limit, file_size_limit;

/* Descriptors 0 to 4 stay taken in the agent, so that what it opens later is never one that a child must fill. */
void spawn_init(rlim_t most_files, rlim_t most_file_bytes)
{
  do {
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) die("agent: cannot open /dev/null");
  } while (null_fd < CHANNELS);
  if (getrlimit(RLIMIT_NOFILE, &files_limit) == 0) {
    struct rlimit raised = {files_limit.rlim_max, files_limit.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &raised);
  }
  /* A process cannot raise what it may at most have. */
  if (most_files < files_limit.rlim_max) files_limit.rlim_max = most_files;
  if (files_limit.rlim_cur > files_limit.rlim_max) files_limit.rlim_cur = files_limit.rlim_max;
  if (getrlimit(RLIMIT_FSIZE, &file_size_limit) < 0) die("agent: cannot read a limit");
  if (most_file_bytes < file_size_limit.rlim_max) file_size_limit.rlim_max = most_file_bytes;
  if (file_size_limit.rlim_cur > file_size_limit.rlim_max) file_size_limit.rlim_cur = file_size_limit.rlim_max;
}

void spawn_gather(const struct frame *f)
{
  if (f->id != spec_id) spec_length = 0;
  spec_id = f->id;
  if (f->length > sizeof spec - spec_length) die("agent: the description of a process is too long");
  memcpy(spec + spec_length, f->payload, f->length);
  spec_length += f->length;
}

static void fail(uint32_t id, int error)
{
  unsigned char payload[8];
  write_u32(payload, STAGE_SETUP);
  write_u32(payload + 4, (uint32_t)error);
  send_frame(id, FRAME_FAILED, 0, payload, sizeof payload);
}

struct plan {
  char *cwd, **argv, **env;
  uint32_t flags;
  struct winsize size;
  int child_fd[CHANNELS], terminal_fd, report_fd;
};

/* Splits `spec` at its NULs; false where the counts do not fit. */
static bool split(struct plan *plan, uint32_t argc, uint32_t envc)
{
  if (argc == 0 || argc > MAX_STRINGS || envc > MAX_STRINGS - argc || spec_length == 0) return false;
  uint32_t wanted = 1 + argc + envc, found = 0;
  char *at = (char *)spec, *end = at + spec_length;
  if (end[-1] != '\0') return false;
  for (; at < end && found < wanted; found++) {
    /* A null pointer after the last argument and after the last of the environment. */
    strings[found + (found > argc)] = at;
    at += strlen(at) + 1;
  }
  if (at != end || found != wanted) return false;
  plan->cwd = strings[0];
  plan->argv = strings + 1;
  plan->env = strings + argc + 2;
  strings[argc + 1] = NULL;
  strings[argc + 2 + envc] = NULL;
  return true;
}

/* Of a pipe, which has no other flags that could be set. */
static bool own_end(int fd) { return fcntl(fd, F_SETFL, O_NONBLOCK) == 0; }

static bool make_pipe(int *ours, int *theirs, bool child_reads)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  *ours = ends[child_reads ? 1 : 0];
  *theirs = ends[child_reads ? 0 : 1];
  return own_end(*ours);
}

static bool make_terminal(struct process *p, struct plan *plan)
{
  int unlock = 0;
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return false;
  p->in[STDIN].fd = p->out[STDOUT].fd = master;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return false;
  plan->terminal_fd = p->out[STDOUT].far_fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (plan->terminal_fd < 0) return false;
  return ioctl(master, TIOCSWINSZ, &plan->size) == 0;
}

static bool make_channels(struct process *p, struct plan *plan)
{
  if (!make_pipe(&p->report_fd, &plan->report_fd, false)) return false;
  if (plan->flags & WITH_TERMINAL) return make_terminal(p, plan);
  if ((plan->flags & WITH_STDIN) && !make_pipe(&p->in[STDIN].fd, &plan->child_fd[STDIN], true)) return false;
  for (int c = STDOUT; c <= STDERR; c++) {
    if (!make_pipe(&p->out[c].fd, &p->out[c].far_fd, false)) return false;
    plan->child_fd[c] = p->out[c].far_fd;
  }
  if (!(plan->flags & WITH_CONTROL)) return true;
  return make_pipe(&p->in[CONTROL_IN].fd, &plan->child_fd[CONTROL_IN], true)
    && make_pipe(&p->out[CONTROL_OUT].fd, &plan->child_fd[CONTROL_OUT], false);
}

/* --- in the child: only system calls from here to its exec --- */

static _Noreturn void report(const struct plan *plan, int stage)
{
  int said[2] = {stage, errno};
  ssize_t ignored = write(plan->report_fd, said, sizeof said);
  (void)ignored;
  _exit(127);
}

static void search_and_exec(char **argv, char **env)
{
  if (strchr(argv[0], '/') != NULL) {
    execve(argv[0], argv, env);
    return;
  }
  const char *path = "/usr/local/bin:/usr/bin:/bin";
  for (char **e = env; *e != NULL; e++)
    if (strncmp(*e, "PATH=", 5) == 0) path = *e + 5;
  static char candidate[4096];
  size_t name = strlen(argv[0]);
  int worst = ENOENT;
  for (const char *at = path;; at++) {
    const char *end = strchrnul(at, ':');
    size_t length = (size_t)(end - at);
    if (name > 0 && length + name + 2 <= sizeof candidate) {
      memcpy(candidate, at, length);
      candidate[length] = '/';
      /* An empty entry is the working directory. */
      memcpy(candidate + (length > 0 ? length + 1 : 0), argv[0], name + 1);
      execve(candidate, argv, env);
      if (errno == EACCES) worst = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR) return;
    }
    if (*end == '\0') break;
    at = end;
  }
  errno = worst;
}

static _Noreturn void become(const struct plan *plan, uint32_t id)
{
  tree_mark_self(id);
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  bool terminal = plan->flags & WITH_TERMINAL;
  if (terminal && ioctl(plan->terminal_fd, TIOCSCTTY, 0) < 0) report(plan, STAGE_SETUP);
  for (int i = 0; i < CHANNELS; i++) {
    int from = terminal && i <= STDERR ? plan->terminal_fd : plan->child_fd[i];
    if (from < 0 && i == STDIN) from = null_fd;
    if (from < 0) close(i);
    else if (dup2(from, i) < 0) report(plan, STAGE_SETUP);
  }
  /* All that the agent opens closes on exec; this is for what it was given by mistake. */
  (void)syscall(SYS_close_range, CHANNELS, ~0u, CLOSE_RANGE_CLOEXEC);
  (void)setrlimit(RLIMIT_NOFILE, &files_limit);
  (void)setrlimit(RLIMIT_FSIZE, &file_size_limit);
  umask(022);
  if (chdir(plan->cwd) < 0) report(plan, STAGE_CWD);
  search_and_exec(plan->argv, plan->env);
  report(plan, STAGE_EXEC);
}

/* --- in the agent --- */

void spawn_start(const struct frame *f)
{
  if (f->length != 20 || f->id == 0 || f->id != spec_id || process_by_id(f->id) != NULL)
    die("agent: a malformed SPAWN");
  const unsigned char *b = f->payload;
  struct plan plan = {.flags = b[0], .size = {.ws_row = read_u16(b + 2), .ws_col = read_u16(b + 4)}, .terminal_fd = -1, .report_fd = -1};
  for (int i = 0; i < CHANNELS; i++) plan.child_fd[i] = -1;
  if (!split(&plan, read_u32(b + 12), read_u32(b + 16))) die("agent: a malformed description of a process");
  spec_id = 0;
  if ((plan.flags & WITH_TERMINAL) && (plan.flags & (WITH_CONTROL | WITH_STDIN))) die("agent: a malformed SPAWN");
  struct process *p = process_slot();
  if (p == NULL) {
    fail(f->id, EAGAIN);
    return;
  }
  bool made = make_channels(p, &plan);
  int error = errno;
  for (int i = 0; i < CHANNELS; i++) p->out[i].credit = read_u32(b + 8);
  pid_t pid = made ? fork() : -1;
  if (pid == 0) become(&plan, f->id);
  if (made) error = errno;
  for (int i = 0; i < CHANNELS; i++)
    if (plan.child_fd[i] >= 0 && plan.child_fd[i] != p->out[i].far_fd) close(plan.child_fd[i]);
  if (plan.report_fd >= 0) close(plan.report_fd);
  /* A long description does not stay in memory. */
  if (spec_length > 65536) (void)madvise(spec, sizeof spec, MADV_DONTNEED);
  spec_length = 0;
  if (pid > 0) {
    p->id = f->id;
    p->pid = pid;
    p->terminal = plan.flags & WITH_TERMINAL;
    /* Whoever has something to send to it waits for its start; others wait for its end. */
    if (plan.flags == 0) p->report_due_ns = now_ns() + START_DELAY_NS;
    return;
  }
  if (p->report_fd >= 0) close(p->report_fd);
  process_let_go(p);
  for (int i = 0; i < CHANNELS; i++) {
    if (p->in[i].fd >= 0) close(p->in[i].fd);
    if (p->out[i].fd >= 0 && p->out[i].fd != p->in[STDIN].fd) close(p->out[i].fd);
  }
  fail(f->id, error);
}
