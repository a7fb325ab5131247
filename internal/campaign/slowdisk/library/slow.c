/* A disk that takes its time: fsync and fdatasync of the process into which
 * this is preloaded wait up to as many milliseconds as the file says that
 * SLOWDISK names. Without the file nobody waits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_a_little(void) {
	const char *name = getenv("SLOWDISK");
	FILE *f = name ? fopen(name, "re") : NULL;
	int most = 0;
	if (!f)
		return;
	if (fscanf(f, "%d", &most) != 1)
		most = 0;
	fclose(f);
	if (most <= 0 || most > 10000)
		return;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	long ms = now.tv_nsec / 1000 % most + 1;
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

int fsync(int fd) {
	static int (*real)(int);
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	wait_a_little();
	return real(fd);
}

int fdatasync(int fd) {
	static int (*real)(int);
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	wait_a_little();
	return real(fd);
}
