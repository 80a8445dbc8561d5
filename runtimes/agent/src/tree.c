#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Every process a command starts must be found again, also one that forked twice and left its session. What
 * a process passes on over fork, exec and setsid, and can lower but never raise, is a hard resource limit; the
 * one for real-time CPU time means nothing without real-time scheduling, which nobody here may use. So its
 * value carries the command's id. A process can only spoil its own mark: one below the marks is taken for a
 * member of every tree, and one that took the mark of an older command escapes this signal, not the sandbox.
 */
#define MARK_BASE ((rlim_t)1 << 62)
#define MAX_PASSES 64
#define BETWEEN_PASSES_NS 500000

static int proc_fd = -1;
/* Agents that share a process namespace, as beside each other in tests, must not find each other's. */
static rlim_t mark_base;

void tree_init(void)
{
  proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc_fd < 0) die("agent: cannot open /proc");
  mark_base = MARK_BASE + ((rlim_t)getpid() << 32);
}

void tree_mark_self(uint32_t id)
{
  struct rlimit mark = {mark_base + id, mark_base + id};
  (void)setrlimit(RLIMIT_RTTIME, &mark);
}

static bool is_marked(pid_t pid, uint32_t id)
{
  struct rlimit mark;
  if (prlimit(pid, RLIMIT_RTTIME, NULL, &mark) < 0) return false;
  if (mark.rlim_max == mark_base + id) return true;
  /* Outside a namespace of our own others may have such limits. */
  return mark.rlim_max <= mark_base && getpid() == 1;
}

static bool is_dead(pid_t pid)
{
  char name[32], stat[512];
  snprintf(name, sizeof name, "%d/stat", pid);
  int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  ssize_t n = read(fd, stat, sizeof stat - 1);
  close(fd);
  if (n <= 0) return true;
  stat[n] = '\0';
  const char *end = strrchr(stat, ')');
  return end == NULL || end[1] == '\0' || end[2] == 'Z' || end[2] == 'X';
}

static int signal_pass(uint32_t id, pid_t leader, int signal)
{
  static char entries[16384] __attribute__((aligned(8)));
  pid_t self = getpid();
  int found = 0;
  if (lseek(proc_fd, 0, SEEK_SET) < 0) return 0;
  for (;;) {
    long n = syscall(SYS_getdents64, proc_fd, entries, sizeof entries);
    if (n <= 0) return found;
    for (long at = 0; at < n;) {
      const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
      at += entry->d_reclen;
      pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
      if (pid <= 0 || pid == self || !(pid == leader || is_marked(pid, id))) continue;
      if (is_dead(pid)) continue;
      if (kill(pid, signal) == 0) found++;
    }
  }
}

void tree_signal(uint32_t id, pid_t leader, int signal, enum signal_target target)
{
  if (target != TO_TREE) {
    /* Once it has been reaped its number may be somebody else's, as a process and as a group. */
    if (leader > 0) (void)kill(target == TO_GROUP ? -leader : leader, signal);
    return;
  }
  /*
   * A process that has SIGKILL pending can no longer fork, so each pass leaves only what was born behind its
   * back. The passes end when one finds nobody alive, so that the leader's exit, which is reaped after this,
   * says that all of the tree is dead. One that the kernel holds on to is not waited for beyond the last.
   */
  int passes = signal == SIGKILL ? MAX_PASSES : 1;
  for (int pass = 1; signal_pass(id, leader, signal) > 0 && pass < passes; pass++) {
    const struct timespec wait = {.tv_nsec = BETWEEN_PASSES_NS};
    (void)nanosleep(&wait, NULL);
  }
}

void tree_end_children(void)
{
  char name[64], list[4096];
  snprintf(name, sizeof name, "%d/task/%d/children", getpid(), getpid());
  do {
    int fd = proc_fd < 0 ? -1 : openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, list, sizeof list - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return;
    list[n] = '\0';
    char *at = list, *end;
    /* The last number may be cut: it is whole in a later turn. */
    for (long pid = strtol(at, &end, 10); pid > 0 && *end == ' '; pid = strtol(at, &end, 10)) {
      (void)kill((pid_t)pid, SIGKILL);
      at = end;
    }
  } while (waitpid(-1, NULL, 0) > 0);
}
