#include "agent.h"

#include <string.h>
#include <unistd.h>

/*
 * The end of process 1 is the end of every process in its namespace. Where the agent is not process 1 (it runs
 * alone in a test) it ends its children, and those that become its children by that, until there are none.
 */
_Noreturn void die(const char *why)
{
  if (why != NULL) {
    ssize_t ignored = write(STDERR_FILENO, why, strlen(why));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
  }
  if (getpid() != 1) tree_end_children();
  _exit(why == NULL ? 0 : 1);
}
