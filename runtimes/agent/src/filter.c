#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSTRUCTION_BYTES ((uint16_t)sizeof(struct sock_filter))

static long install(const struct sock_fprog *filter, unsigned long flags)
{
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW | flags, filter);
  /* Linux before 4.17 and gVisor do not know that flag, and slow nothing down. */
  if (result >= 0 || errno != EINVAL || flags != 0) return result;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter);
}

/*
 * The agent filters itself, once, before anything runs: what it starts has inherited the filter long before its
 * exec, and pays nothing for it. Nobody can take a filter off again, and privileges cannot be gained any more,
 * which the kernel asks of whoever has none. Without the flag kernels before 5.16 slow down every program that
 * is filtered, against guesses about other processes that the boundary does not rest on.
 */
void filter_install(const struct frame *f)
{
  static struct sock_filter program[BPF_MAXINSNS];
  static bool installed;
  if (installed || f->id != 0 || f->length == 0 || f->length % INSTRUCTION_BYTES != 0 || f->length > sizeof program)
    die("agent: a malformed FILTER");
  memcpy(program, f->payload, f->length);
  struct sock_fprog filter = {.len = (unsigned short)(f->length / INSTRUCTION_BYTES), .filter = program};
  long listener = install(&filter, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (listener >= 0) {
    sync_listen((int)listener);
  } else {
    /* Around us there is a listener already (a container's), and a second one is not to be had; or gVisor: nobody is asked. */
    for (size_t i = 0; i < filter.len; i++)
      if (program[i].code == (BPF_RET | BPF_K) && program[i].k == SECCOMP_RET_USER_NOTIF)
        program[i].k = SECCOMP_RET_ALLOW;
    if (install(&filter, 0) != 0) die("agent: the kernel takes no filter of system calls");
  }
  installed = true;
}
