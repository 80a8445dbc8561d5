#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/*
 * sync(2) and syncfs(2) of a program wait here for the server: the kernel does not tell a filesystem such as the view of
 * them (fc->sync_fs, fs/fuse/inode.c). The filter hands them to its listener (seccomp_unotify(2)), and no argument is
 * looked at: whatever a program asks for, all of the view is written.
 */
#define MAX_WAITING 64

static int listener = -1;
static struct {
  uint64_t id; /* the kernel's; 0: free */
  bool goes_on;
} waiting[MAX_WAITING];
static int waiting_count;

void sync_listen(int fd) { listener = fd; }

/* The kernel keeps those for whom there is no room here. */
int sync_fd(void) { return waiting_count < MAX_WAITING ? listener : -1; }

static int place_of(uint64_t id)
{
  for (int i = 0; i < MAX_WAITING; i++)
    if (waiting[i].id == id) return i;
  return -1;
}

void sync_asked(void)
{
  struct seccomp_notif asked;
  memset(&asked, 0, sizeof asked);
  /* It has died meanwhile. */
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) return;
  int place = place_of(0);
  waiting[place].id = asked.id;
  /* syncfs is then made, for its errors. sync is not: it would write out the whole host. */
  waiting[place].goes_on = asked.data.nr == SYS_syncfs;
  waiting_count++;
  unsigned char payload[8];
  write_u64(payload, asked.id);
  send_frame(0, FRAME_SYNC, 0, payload, sizeof payload);
}

void sync_done(const struct frame *f)
{
  if (f->id != 0 || f->length != 12) die("agent: a malformed SYNCED");
  uint64_t id = read_u32(f->payload) | (uint64_t)read_u32(f->payload + 4) << 32;
  int place = id == 0 ? -1 : place_of(id);
  if (place < 0) die("agent: a SYNCED that nobody waits for");
  uint32_t error = read_u32(f->payload + 8);
  struct seccomp_notif_resp answer = {.id = id, .error = -(int)error};
  if (error == 0 && waiting[place].goes_on) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  waiting[place].id = 0;
  waiting_count--;
  /* Whoever asked may have been killed meanwhile. */
  (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}
