#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * `refuse FD ADDRESS/BITS…`: makes IPv4 networks unreachable in the network namespace that FD is open on. Run by
 * the server before anything is started there; what is, has no right to change routes.
 */
static _Noreturn void fail(const char *what)
{
  fprintf(stderr, "agent: cannot make %s unreachable: %s\n", what, strerror(errno));
  _exit(1);
}

static void refuse(int fd, const char *network)
{
  char address[INET_ADDRSTRLEN];
  const char *slash = strchr(network, '/');
  long bits = slash == NULL ? -1 : strtol(slash + 1, NULL, 10);
  errno = EINVAL;
  if (bits < 1 || bits > 32 || (size_t)(slash - network) >= sizeof address) fail(network);
  memcpy(address, network, (size_t)(slash - network));
  address[slash - network] = '\0';
  struct sockaddr_in to = {.sin_family = AF_INET}, mask = {.sin_family = AF_INET};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(network);
  mask.sin_addr.s_addr = htonl(~0u << (32 - bits));
  struct rtentry route = {.rt_flags = RTF_UP | RTF_REJECT};
  memcpy(&route.rt_dst, &to, sizeof to);
  memcpy(&route.rt_genmask, &mask, sizeof mask);
  if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST) fail(network);
}

_Noreturn void refuse_networks(int argc, char **argv)
{
  long ns = argc < 3 ? -1 : strtol(argv[2], NULL, 10);
  if (ns < 3) die("agent: refuse needs a descriptor and networks");
  if (setns((int)ns, CLONE_NEWNET) < 0) fail("anything");
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("anything");
  for (int i = 3; i < argc; i++) refuse(fd, argv[i]);
  _exit(0);
}
