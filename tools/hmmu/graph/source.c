/* SPDX-License-Identifier: MIT */
/*
 * Input files: read, and decompress with apt-helper
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build.h"

#define READ_BYTES_MIN ((size_t)1 << 20)

extern char **environ;

static bool ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name);
	size_t wanted = strlen(suffix);

	return length >= wanted && !strcmp(name + length - wanted, suffix);
}

static bool is_compressed(const char *file)
{
	static const char *const suffixes[] = { ".gz", ".xz", ".bz2", ".lz4",
						".zst" };

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		if (ends_in(file, suffixes[i]))
			return true;
	}
	return false;
}

void source_free(struct source *source)
{
	free(source->file);
	free(source->buffer);
	memset(source, 0, sizeof(*source));
}

static int make_room(struct source *source, size_t *capacity)
{
	size_t wanted = *capacity * 2;
	char *grown;

	if (source->length_bytes < *capacity)
		return 0;
	grown = realloc(source->buffer, wanted);
	if (!grown)
		return -ENOMEM;
	source->buffer = grown;
	*capacity = wanted;
	return 0;
}

static int read_all(struct source *source, int fd, size_t capacity)
{
	source->buffer = malloc(capacity);
	if (!source->buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t got;

		if (make_room(source, &capacity))
			return -ENOMEM;
		got = read(fd, source->buffer + source->length_bytes,
			   capacity - source->length_bytes);
		if (got == 0)
			return 0;
		if (got > 0)
			source->length_bytes += (size_t)got;
		else if (errno != EINTR)
			return -errno;
	}
}

/* One byte more than the size, so that the read that finds the end fits */
static size_t expected_bytes(int fd)
{
	struct stat st;

	if (fstat(fd, &st) || st.st_size < (off_t)READ_BYTES_MIN)
		return READ_BYTES_MIN;
	return (size_t)st.st_size + 1;
}

static int read_plain(struct source *source, struct graph_error *error)
{
	int fd = open(source->file, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return graph_error_set(error, -errno, source->file, 0,
				       "cannot be opened");
	err = read_all(source, fd, expected_bytes(fd));
	close(fd);
	if (err)
		graph_error_set(error, err, source->file, 0,
				err == -ENOMEM ? "out of memory" :
						 "cannot be read");
	return err;
}

/* No input, no messages, output to @write_fd. dup2() drops close-on-exec */
static int set_up_child(posix_spawn_file_actions_t *actions, int write_fd)
{
	int err = posix_spawn_file_actions_addopen(actions, 0, "/dev/null",
						   O_RDONLY, 0);

	if (!err)
		err = posix_spawn_file_actions_adddup2(actions, write_fd, 1);
	if (!err)
		err = posix_spawn_file_actions_addopen(actions, 2, "/dev/null",
						       O_WRONLY, 0);
	return -err;
}

static int spawn_helper(const char *helper, const char *file, int write_fd,
			pid_t *ret_pid)
{
	/* posix_spawn() takes writable strings, but does not write them */
	char *const argv[] = { (char *)(uintptr_t)helper,
			       (char *)(uintptr_t) "cat-file",
			       (char *)(uintptr_t)file, NULL };
	posix_spawn_file_actions_t actions;
	int err = -posix_spawn_file_actions_init(&actions);

	if (err)
		return err;
	err = set_up_child(&actions, write_fd);
	if (!err)
		err = -posix_spawn(ret_pid, helper, &actions, NULL, argv,
				   environ);
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

static int reap_child(pid_t pid)
{
	int status;
	pid_t reaped;

	do {
		reaped = waitpid(pid, &status, 0);
	} while (reaped < 0 && errno == EINTR);
	return reaped == pid && WIFEXITED(status) && !WEXITSTATUS(status) ?
		       0 :
		       -EIO;
}

static const char *decompress_reason(int err)
{
	switch (err) {
	case -ENOMEM:
		return "out of memory";
	case -EIO:
		return "cannot be decompressed, it may be damaged or "
		       "unreadable";
	default:
		return "cannot start apt-helper to decompress it, decompress "
		       "it first";
	}
}

/*
 * Close the read end before waiting for the child. After an early stop the
 * child then gets a broken pipe instead of waiting for a reader forever.
 */
static int read_child(struct source *source, const char *helper)
{
	int fds[2];
	pid_t pid;
	int err;
	int failed;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	err = spawn_helper(helper, source->file, fds[1], &pid);
	close(fds[1]);
	if (err) {
		close(fds[0]);
		return err;
	}
	err = read_all(source, fds[0], READ_BYTES_MIN);
	close(fds[0]);
	failed = reap_child(pid);
	return err ? err : failed;
}

static int read_compressed(struct source *source, const char *helper,
			   struct graph_error *error)
{
	int err;

	/* The helper reports no cause, so check first that the file opens */
	if (access(source->file, R_OK))
		return graph_error_set(error, -errno, source->file, 0,
				       "cannot be opened");
	err = read_child(source, helper);
	if (err)
		graph_error_set(error, err, source->file, 0,
				decompress_reason(err));
	return err;
}

int source_read(struct source *source, const char *file, const char *helper,
		struct graph_error *error)
{
	struct source found = { .file = text_dup(text_from(file)) };
	int err;

	if (!found.file)
		return graph_error_set(error, -ENOMEM, file, 0,
				       "out of memory");
	err = is_compressed(file) ? read_compressed(&found, helper, error) :
				    read_plain(&found, error);
	if (err) {
		source_free(&found);
		return err;
	}
	*source = found;
	return 0;
}
