#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * `join FD,FD,… PROGRAM ARG…`: enters the control groups whose `cgroup.procs` these are, then becomes the
 * program. The kernel judges the right to do so by who opened the file, so the server opens it as root and
 * this runs as the sandbox's user; and there is no moment in which anything of the sandbox is outside.
 *
 * To enter takes longer than all else before the program (version 1 waits for every processor), so the server starts
 * this early, and sends a byte to stdin when the program may begin. Without it, it never does.
 */
_Noreturn void join_and_exec(int argc, char **argv)
{
  if (argc < 4) die("agent: join needs descriptors and a program");
  for (char *at = argv[2]; *at != '\0';) {
    long fd = strtol(at, &at, 10);
    if (*at == ',') at++;
    if (fd < 3 || write((int)fd, "0", 1) != 1) {
      fprintf(stderr, "agent: cannot enter the control group: %s\n", strerror(errno));
      _exit(1);
    }
    close((int)fd);
  }
  char go;
  if (read(STDIN_FILENO, &go, 1) != 1) _exit(1);
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) die("agent: join cannot open /dev/null");
  if (nothing != STDIN_FILENO) close(nothing);
  execv(argv[3], argv + 3);
  fprintf(stderr, "agent: cannot start %s: %s\n", argv[3], strerror(errno));
  _exit(127);
}
