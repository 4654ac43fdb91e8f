/* SPDX-License-Identifier: MIT */
/*
 * Where the program is, and whether LD_PRELOAD has an effect on it: not on one
 * that is linked statically, nor on one that gains rights as it is started.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "run.h"

enum {
	MAX_INTERPRETERS = 5, /* as the kernel has it, and one for env */
	HEAD_BYTES = 4096,    /* the #! line; program headers of all we saw */
};

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

static bool
is_program(const char *path)
{
	struct stat stat_of;

	return stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode) &&
	       access(path, X_OK) == 0;
}

/* In PATH; NULL if it is not, with *other what cannot be executed. */
static char *
search_path(const char *name, char **other)
{
	const char *path = getenv("PATH");

	if (!path)
		path = "/bin:/usr/bin";
	for (;;) {
		int n = (int)strcspn(path, ":");
		char *file = n ? text("%.*s/%s", n, path, name) :
				 text("./%s", name);

		if (is_program(file))
			return file;
		if (!*other && access(file, F_OK) == 0)
			*other = file;
		if (!path[n])
			return NULL;
		path += n + 1;
	}
}

char *
find_program(const char *name)
{
	char *other = NULL;
	struct stat stat_of;

	if (!strchr(name, '/')) {
		char *found = *name ? search_path(name, &other) : NULL;

		if (found)
			return found;
		if (!other)
			die(EXIT_NOT_FOUND,
			    "there is no program '%s' in the directories of "
			    "PATH",
			    name);
		name = other;
	}
	if (is_program(name))
		return text("%s", name);
	if (stat(name, &stat_of) != 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			die(EXIT_NOT_FOUND, "there is no program '%s'", name);
		die(EXIT_NOT_EXECUTABLE, "%s: %s", name, strerror(errno));
	}
	if (S_ISDIR(stat_of.st_mode))
		die(EXIT_NOT_EXECUTABLE, "%s is a directory", name);
	die(EXIT_NOT_EXECUTABLE,
	    "%s cannot be executed; if it is a program: chmod +x %s", name,
	    name);
}

/* ------------------------------ what it is ------------------------------- */

/* Of `#!/usr/bin/env [-S] [A=B] NAME`, where NAME is. */
static char *
behind_env(char *words)
{
	char *other = NULL, *rest = NULL;
	char *word = strtok_r(words, " \t", &rest);

	while (word && (*word == '-' || strchr(word, '=')))
		word = strtok_r(NULL, " \t", &rest);
	if (!word)
		return NULL;
	return strchr(word, '/') ? text("%s", word) :
				   search_path(word, &other);
}

/* The interpreter that a script names. */
static char *
interpreter_of(char *line)
{
	char *path = line + strspn(line, " \t"), *end;

	path[strcspn(path, "\n")] = '\0';
	end = path + strcspn(path, " \t");
	if (*end)
		*end++ = '\0';
	end[strcspn(end, "\r")] = '\0';
	if (strcmp(path, "/usr/bin/env") == 0 || strcmp(path, "/bin/env") == 0)
		return behind_env(end);
	return text("%s", path);
}

static void
warn_of_rights(const char *path)
{
	struct stat stat_of;
	struct statvfs volume;
	const char *what = NULL;

	if (stat(path, &stat_of) != 0)
		return;
	if ((stat_of.st_mode & S_ISUID) && stat_of.st_uid != getuid())
		what = "setuid";
	else if ((stat_of.st_mode & S_ISGID) && (stat_of.st_mode & S_IXGRP) &&
		 stat_of.st_gid != getgid())
		what = "setgid";
	else if (getuid() != 0 &&
		 getxattr(path, "security.capability", NULL, 0) > 0)
		what = "given capabilities";
	if (what && statvfs(path, &volume) == 0 &&
	    !(volume.f_flag & ST_NOSUID))
		say("warning: %s is %s: the preload has no effect on it, as "
		    "the dynamic loader ignores LD_PRELOAD there",
		    path, what);
}

static void
warn_of_elf(const char *path, const char *head, size_t n_head)
{
	Elf64_Ehdr header;
	Elf64_Phdr part;

	if (n_head < sizeof(header))
		return;
	memcpy(&header, head, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_machine != OUR_MACHINE) {
		say("warning: %s is for another kind of machine than the "
		    "library: the preload has no effect on it",
		    path);
		return;
	}
	for (size_t i = 0; i < header.e_phnum; i++) {
		size_t at = header.e_phoff + i * header.e_phentsize;

		if (at > n_head || n_head - at < sizeof(part))
			return;
		memcpy(&part, head + at, sizeof(part));
		if (part.p_type == PT_INTERP)
			return;
	}
	say("warning: %s is linked statically: the preload has no effect on "
	    "it; link it dynamically to have it",
	    path);
}

void
warn_of_program(const char *path)
{
	char head[HEAD_BYTES + 1];

	for (int i = 0; path && i < MAX_INTERPRETERS; i++) {
		int file = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = file < 0 ? -1 : read(file, head, HEAD_BYTES);

		if (file >= 0)
			close(file);
		head[n < 0 ? 0 : n] = '\0';
		if (n >= 2 && memcmp(head, "#!", 2) == 0) {
			path = interpreter_of(head + 2);
			continue;
		}
		if (n >= 0 &&
		    (n < SELFMAG || memcmp(head, ELFMAG, SELFMAG) != 0)) {
			path = "/bin/sh"; /* as execvp(3) has it */
			continue;
		}
		warn_of_rights(path);
		if (n > 0)
			warn_of_elf(path, head, (size_t)n);
		return;
	}
}
