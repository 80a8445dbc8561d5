/*
 * The client of the filesystem benchmark: a clock close to the system calls. A loop in Node or Python would cost
 * more than what it measures.
 *
 *   client time DIR COMMAND      runs `sh -c COMMAND` in DIR; prints its wall clock, user and system time in ns
 *   client micro DIR COUNT       single operations; prints `NAME NS` a line, the mean of COUNT of each
 *   client random FILE COUNT r|w COUNT preads or pwrites of 4 KiB at random places of FILE
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t ns_of(struct timeval t)
{
	return t.tv_sec * 1000000000LL + t.tv_usec * 1000LL;
}

static int time_command(const char *dir, const char *command)
{
	if (chdir(dir) < 0)
		err(125, "%s", dir);
	int64_t began = now_ns();
	pid_t child = fork();
	if (child < 0)
		err(125, "fork");
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		err(125, "/bin/sh");
	}
	int status;
	struct rusage usage;
	if (wait4(child, &status, 0, &usage) < 0)
		err(125, "wait4");
	int64_t took = now_ns() - began;
	printf("%lld %lld %lld\n", (long long)took, (long long)ns_of(usage.ru_utime), (long long)ns_of(usage.ru_stime));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}

static char path[256];
static char other[256];
static char data[4096];

static const char *numbered(char *into, const char *folder, const char *prefix, int number)
{
	snprintf(into, 256, "%s/%s%05d", folder, prefix, number);
	return into;
}

static void check(int result, const char *what)
{
	if (result < 0)
		err(1, "%s %s", what, path);
}

#define EACH(name, count, body)                                                \
	do {                                                                   \
		int64_t began = now_ns();                                      \
		for (int i = 0; i < (count); i++) {                            \
			body;                                                  \
		}                                                              \
		printf("%s %lld\n", name, (long long)((now_ns() - began) / (count))); \
	} while (0)

static void read_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	check(fd, "open");
	if (read(fd, data, 1024) != 1024)
		err(1, "read %s", name);
	close(fd);
}

static void write_file(const char *name, int flags)
{
	int fd = open(name, flags, 0644);
	check(fd, "open for writing");
	if (write(fd, data, 1024) != 1024)
		err(1, "write %s", name);
	close(fd);
}

static void list(const char *name, int least)
{
	DIR *dir = opendir(name);
	if (!dir)
		err(1, "opendir %s", name);
	int entries = 0;
	while (readdir(dir))
		entries++;
	closedir(dir);
	if (entries < least)
		errx(1, "%s lists %d entries", name, entries);
}

#define SMALL "croft-bench/small"
#define WIDE "croft-bench/wide"
#define NEW "croft-bench/new"
#define WIDE_ENTRIES 10000

static int micro(const char *dir, int n)
{
	struct stat st;
	if (chdir(dir) < 0)
		err(1, "%s", dir);
	/* The directory itself is looked up, so that what follows is one round trip each at the most. */
	check(stat(SMALL, &st), "stat");
	EACH("missing-name", n, stat(numbered(path, SMALL, "missing-", i), &st));
	EACH("missing-name-again", n, stat(numbered(path, SMALL, "missing-", i), &st));
	EACH("stat-first", n, check(stat(numbered(path, SMALL, "f", i), &st), "stat"));
	EACH("stat-again", n, check(stat(numbered(path, SMALL, "f", i), &st), "stat"));
	EACH("readdir-10000-first", 1, list(WIDE, WIDE_ENTRIES));
	EACH("readdir-10000-again", 3, list(WIDE, WIDE_ENTRIES));
	EACH("open-read-close-first", n, read_file(numbered(path, SMALL, "f", i)));
	EACH("open-read-close-again", n, read_file(numbered(path, SMALL, "f", i)));
	check(mkdir(NEW, 0755), "mkdir");
	EACH("create-write-close", n, write_file(numbered(path, NEW, "n", i), O_WRONLY | O_CREAT | O_EXCL));
	EACH("overwrite-new", n, write_file(numbered(path, NEW, "n", i), O_WRONLY));
	EACH("rename", n, check(rename(numbered(path, NEW, "n", i), numbered(other, NEW, "r", i)), "rename"));
	EACH("unlink", n, check(unlink(numbered(path, NEW, "r", i)), "unlink"));
	EACH("mkdir", n, check(mkdir(numbered(path, NEW, "d", i), 0755), "mkdir"));
	EACH("rmdir", n, check(rmdir(numbered(path, NEW, "d", i)), "rmdir"));
	EACH("overwrite-base", n, write_file(numbered(path, SMALL, "f", i), O_WRONLY));
	EACH("unlink-base", n, check(unlink(numbered(path, SMALL, "f", i)), "unlink"));

	int fd = open(NEW "/big", O_RDWR | O_CREAT, 0644);
	check(fd, "open");
	EACH("append-4k", 4 * n, if (write(fd, data, 4096) != 4096) err(1, "write"));
	EACH("pread-4k", 4 * n, if (pread(fd, data, 4096, (off_t)i * 4096) != 4096) err(1, "pread"));
	EACH("pwrite-4k", 4 * n, if (pwrite(fd, data, 4096, (off_t)i * 4096) != 4096) err(1, "pwrite"));
	close(fd);
	return 0;
}

static int random_io(const char *name, int count, int writing)
{
	int fd = open(name, writing ? O_RDWR : O_RDONLY);
	if (fd < 0)
		err(1, "%s", name);
	off_t blocks = lseek(fd, 0, SEEK_END) / 4096;
	if (blocks == 0)
		errx(1, "%s has less than 4096 bytes", name);
	/* The same places each time. */
	uint64_t state = 88172645463325252ULL;
	for (int i = 0; i < count; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		off_t at = (off_t)(state % (uint64_t)blocks) * 4096;
		ssize_t done = writing ? pwrite(fd, data, 4096, at) : pread(fd, data, 4096, at);
		if (done != 4096)
			err(1, "%s", name);
	}
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "time"))
		return time_command(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "micro"))
		return micro(argv[2], atoi(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "random"))
		return random_io(argv[2], atoi(argv[3]), argv[4][0] == 'w');
	errx(2, "usage: client time DIR COMMAND | micro DIR COUNT | random FILE COUNT r|w");
}
