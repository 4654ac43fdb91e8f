/* SPDX-License-Identifier: MIT */
/* Where the shim is, and the libraries that it is compared with. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cubby/base.h"
#include "run.h"

#define STRING(x) #x
#define STRING_OF(x) STRING(x)
#define SHIM "libcubby-malloc.so." STRING_OF(CUBBY_VERSION_MAJOR)

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#else
#define MULTIARCH "aarch64-linux-gnu"
#endif

enum { COMPLAINT_BYTES = 512 };

/* What the dynamic loader says to `library` in LD_PRELOAD; NULL if nothing.
 * This program is the one that is started; nothing but the loader will do, as
 * dlopen() refuses libraries that use much static thread-local storage. */
static char *
complaint_of_loader(const char *library)
{
	static char said[COMPLAINT_BYTES];
	size_t n = 0;
	ssize_t got;
	int end[2];
	pid_t pid;

	if (pipe2(end, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		die(EXIT_OURS, "cannot start a process: %s", strerror(errno));
	if (pid == 0) {
		setenv("LD_PRELOAD", library, 1);
		unsetenv("CUBBY_MALLOC");
		dup2(end[1], STDERR_FILENO);
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execl("/proc/self/exe", "cubby-run", "--version",
		      (char *)NULL);
		_exit(0);
	}
	close(end[1]);
	while (n < sizeof(said) - 1 &&
	       (got = read(end[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	close(end[0]);
	waitpid(pid, NULL, 0);
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return strncmp(said, "ERROR: ld.so", 12) == 0 ||
			       strncmp(said, "Error loading", 13) == 0 ?
		       said :
		       NULL;
}

/* LD_PRELOAD has no way to quote. */
static void
check_letters(const char *library)
{
	if (strpbrk(library, " \t\n:"))
		die(EXIT_OURS,
		    "LD_PRELOAD cannot have '%s', as there is a blank or a "
		    "colon in it: copy or link it elsewhere",
		    library);
}

char *
named_library(const char *name)
{
	char *path = realpath(name, NULL);
	const char *complaint;

	if (!path && (errno != ENOENT || strchr(name, '/')))
		die(EXIT_OURS, "cannot read the library %s: %s", name,
		    strerror(errno));
	if (!path)
		path = text("%s", name); /* the loader searches for it */
	check_letters(path);
	complaint = complaint_of_loader(path);
	if (complaint)
		die(EXIT_OURS, "the library %s cannot be preloaded: %s", name,
		    complaint);
	return path;
}

char *
find_library(const char *const *names)
{
	static const char *const folders[] = { ("/usr/lib/" MULTIARCH),
					       ("/lib/" MULTIARCH),
					       "/usr/lib64",
					       "/usr/lib",
					       "/lib64",
					       "/lib" };

	for (; *names; names++) {
		for (size_t i = 0; i < sizeof(folders) / sizeof(*folders);
		     i++) {
			char *path = text("%s/%s", folders[i], *names);

			if (access(path, R_OK) == 0)
				return realpath(path, NULL);
		}
	}
	return NULL;
}

/* The folder that this program is in. */
static char *
our_folder(void)
{
	char *path = realpath("/proc/self/exe", NULL);

	if (!path)
		die(EXIT_OURS,
		    "cannot read /proc/self/exe: %s; is /proc "
		    "mounted?",
		    strerror(errno));
	*strrchr(path, '/') = '\0';
	return path;
}

char *
find_shim(const char *option, char **why)
{
	static const char *const places[] = { "", "/../lib",
					      ("/../lib/" MULTIARCH),
					      "/../lib64" };
	char *folder;

	if (option)
		return named_library(option);
	folder = our_folder();
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char *path = realpath(text("%s%s/" SHIM, folder, places[i]),
				      NULL);

		if (path) {
			check_letters(path);
			return path;
		}
	}
	if (!complaint_of_loader(SHIM))
		return text("%s", SHIM);
	*why = text("there is no " SHIM ": neither in\n"
		    "  %s,\n"
		    "  nor in ../lib, ../lib/" MULTIARCH " or ../lib64 from "
		    "there, nor known to the\n"
		    "  dynamic loader.  Build it with `make malloc`, or name "
		    "it with --library=FILE.",
		    folder);
	return NULL;
}
