#include "agent.h"

#include <string.h>
#include <signal.h>
#include <unistd.h>

/*
 * The end of process 1 is the end of every process in its namespace. Where the agent is not process 1 (it runs
 * alone in a test) it must end them one by one.
 */
_Noreturn void die(const char *why)
{
  if (why != NULL) {
    ssize_t ignored = write(STDERR_FILENO, why, strlen(why));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
  }
  if (getpid() != 1) {
    for (int i = 0; i < process_slots; i++)
      if (processes[i].id != 0) tree_signal(processes[i].id, processes[i].pid, SIGKILL, TO_TREE);
  }
  _exit(why == NULL ? 0 : 1);
}
