#include "agent.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct process processes[MAX_PROCESSES];
int process_slots;

struct process *process_by_id(uint32_t id)
{
  for (int i = 0; i < process_slots; i++)
    if (processes[i].id == id && id != 0) return &processes[i];
  return NULL;
}

struct process *process_by_pid(pid_t pid)
{
  for (int i = 0; i < process_slots; i++)
    if (processes[i].id != 0 && processes[i].pid == pid) return &processes[i];
  return NULL;
}

struct process *process_slot(void)
{
  for (int i = 0; i < MAX_PROCESSES; i++) {
    if (processes[i].id != 0) continue;
    struct process *p = &processes[i];
    memset(p, 0, sizeof *p);
    p->report_fd = -1;
    for (int c = 0; c < CHANNELS; c++) p->in[c].fd = p->out[c].fd = p->out[c].far_fd = -1;
    if (i >= process_slots) process_slots = i + 1;
    return p;
  }
  return NULL;
}

/* The server forgets an id by the same rule: its exit and the end of each of its channels have been sent. */
void process_free_if_over(struct process *p)
{
  if (!p->exited) return;
  for (int c = 0; c < CHANNELS; c++)
    if (p->in[c].fd >= 0 || p->out[c].fd >= 0) return;
  p->id = 0;
  while (process_slots > 0 && processes[process_slots - 1].id == 0) process_slots--;
}

/*
 * The report pipe is closed by a successful exec, and holds stage and errno after a failed one. A process that
 * is killed before its exec counts as started: its exit says the rest.
 */
void process_settle_start(struct process *p)
{
  int report[2];
  ssize_t n = read(p->report_fd, report, sizeof report);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close(p->report_fd);
  p->report_fd = -1;
  unsigned char payload[8];
  if (n != (ssize_t)sizeof report) {
    write_u32(payload, (uint32_t)p->pid);
    send_frame(p->id, FRAME_STARTED, 0, payload, 4);
    return;
  }
  write_u32(payload, (uint32_t)report[0]);
  write_u32(payload + 4, (uint32_t)report[1]);
  send_frame(p->id, FRAME_FAILED, 0, payload, 8);
  process_let_go(p);
  for (int c = 0; c < CHANNELS; c++) {
    if (p->in[c].fd >= 0) close(p->in[c].fd);
    if (p->out[c].fd >= 0 && p->out[c].fd != p->in[STDIN].fd) close(p->out[c].fd);
    p->in[c].fd = p->out[c].fd = -1;
  }
  /* Its remains are reaped as any orphan's are. */
  p->exited = true;
  process_free_if_over(p);
}

/* Of the far sides. */
void process_let_go(struct process *p)
{
  for (int c = 0; c < CHANNELS; c++) {
    if (p->out[c].far_fd >= 0) close(p->out[c].far_fd);
    p->out[c].far_fd = -1;
  }
}

void process_exited(struct process *p, int status, const void *rusage)
{
  const struct rusage *use = rusage;
  if (p->report_fd >= 0) process_settle_start(p);
  if (p->id == 0) return;
  unsigned char *payload = p->held_exit;
  if (WIFEXITED(status)) write_u32(payload, (uint32_t)WEXITSTATUS(status));
  else write_u32(payload + 4, (uint32_t)WTERMSIG(status));
  write_u64(payload + 8, (uint64_t)use->ru_utime.tv_sec * 1000000u + (uint64_t)use->ru_utime.tv_usec);
  write_u64(payload + 16, (uint64_t)use->ru_stime.tv_sec * 1000000u + (uint64_t)use->ru_stime.tv_usec);
  write_u64(payload + 24, (uint64_t)use->ru_maxrss * 1024u);
  process_let_go(p);
  p->pid = 0;
  p->exit_held = true;
  barriers_raise(p);
  held_release(p);
  output_drain(p);
}
