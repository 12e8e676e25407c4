/* SPDX-License-Identifier: MIT */
/*
 * A bare userfaultfd, and a space with a device
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "measure.h"
#include "uapi/linux_mm.h"

#define SERVICE_NAME "hmmu-service"

/* --- bare userfaultfd ------------------------------------------------------ */

int bench_uffd_open(struct bench_run *run)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_MOVE };
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);

	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		bench_skip(run, "userfaultfd (%s)", strerror(errno));
	if (ioctl(fd, UFFDIO_API, &api))
		bench_skip(run, "UFFDIO_MOVE (Linux 6.8)");
	return fd;
}

void bench_uffd_watch(struct bench_run *run, int fd, const void *p,
		      size_t bytes)
{
	struct uffdio_register r = { .range = { (uintptr_t)p, bytes },
				     .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (ioctl(fd, UFFDIO_REGISTER, &r))
		bench_fail(run, "UFFDIO_REGISTER: %s", strerror(errno));
}

void bench_uffd_move(struct bench_run *run, int fd, uintptr_t dst,
		     uintptr_t src, size_t bytes)
{
	struct uffdio_move m = { .dst = dst, .src = src, .len = bytes };

	while (ioctl(fd, UFFDIO_MOVE, &m)) {
		if (errno != EAGAIN)
			bench_fail(run, "UFFDIO_MOVE: %s", strerror(errno));
		if (m.move > 0) {
			m.dst += (uint64_t)m.move;
			m.src += (uint64_t)m.move;
			m.len -= (uint64_t)m.move;
		}
		m.move = 0;
	}
}

static void serve(struct bench_server *s, const struct uffd_msg *msg)
{
	uintptr_t at = msg->arg.pagefault.address & ~(s->unit_bytes - 1);

	if (msg->event == UFFD_EVENT_PAGEFAULT)
		bench_uffd_move(s->run, s->fd, at, at + s->staging_minus_memory,
				s->unit_bytes);
}

/* Ends by pthread_cancel() in poll(). */
static void *server_main(void *arg)
{
	struct bench_server *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	struct uffd_msg msg;

	bench_pin(s->cpu);
	for (;;) {
		if (poll(&p, 1, -1) == 1 &&
		    read(s->fd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg))
			serve(s, &msg);
	}
	return NULL;
}

void bench_server_start(struct bench_server *server)
{
	bench_must(server->run,
		   -pthread_create(&server->thread, NULL, server_main, server),
		   "pthread_create");
}

void bench_server_stop(struct bench_server *server)
{
	pthread_cancel(server->thread);
	pthread_join(server->thread, NULL);
}

/* --- space ----------------------------------------------------------------- */

static void create_device(struct bench_device *d, uint32_t fault_around_pages)
{
	const struct hmmu_device_options options = {
		.size = sizeof(options),
		.name = "bench",
		.memory = d->memory,
		.fault_around_pages = fault_around_pages,
	};

	bench_must(d->run, hmmu_device_create(d->space, &options, &d->device),
		   "hmmu_device_create");
}

void bench_device_open(struct bench_run *run, struct bench_device *d,
		       size_t memory_bytes, uint32_t fault_around_pages)
{
	const struct hmmu_memory_options options = {
		.size = sizeof(options),
		.kind = HMMU_MEMORY_HOST_PRIVATE,
		.bytes = memory_bytes,
	};
	const char *why = NULL;
	int err;

	*d = (struct bench_device){ .run = run };
	err = hmmu_space_open(NULL, &why, &d->space);
	if (err == -EOPNOTSUPP)
		bench_skip(run, "a space: %s", why);
	bench_must(run, err, "hmmu_space_open");
	if (memory_bytes)
		bench_must(run,
			   hmmu_memory_create(d->space, &options, &d->memory),
			   "hmmu_memory_create");
	create_device(d, fault_around_pages);
}

void bench_device_close(struct bench_device *d)
{
	bench_must(d->run, hmmu_device_destroy(d->device),
		   "hmmu_device_destroy");
	bench_must(d->run, hmmu_memory_destroy(d->memory),
		   "hmmu_memory_destroy");
	bench_must(d->run, hmmu_space_close(d->space), "hmmu_space_close");
}

void bench_device_renew(struct bench_device *d, uint32_t fault_around_pages)
{
	bench_must(d->run, hmmu_device_destroy(d->device),
		   "hmmu_device_destroy");
	create_device(d, fault_around_pages);
}

/* All pages must migrate: a row that moves fewer would look fast. */
static void check_moved(struct bench_run *run,
			const struct hmmu_migrate_result *r, size_t bytes,
			const char *where)
{
	unsigned int reason;

	if (r->pages_moved == bytes >> HMMU_PAGE_LG2)
		return;
	for (reason = 0; reason + 1 < HMMU_STAY_REASONS; reason++)
		if (r->stayed[reason])
			break;
	bench_fail(run, "%llu of %zu pages migrated %s; %llu did not: %s",
		   (unsigned long long)r->pages_moved, bytes >> HMMU_PAGE_LG2,
		   where, (unsigned long long)r->pages_stayed,
		   r->pages_stayed ? hmmu_stay_text(reason) : "-");
}

void bench_to_device(struct bench_device *d, const void *p, size_t bytes)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	bench_must(d->run,
		   hmmu_device_migrate(d->device, (uintptr_t)p, bytes, &r),
		   "hmmu_device_migrate");
	check_moved(d->run, &r, bytes, "to the device");
}

void bench_to_home(struct bench_device *d, const void *p, size_t bytes)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	bench_must(d->run,
		   hmmu_migrate_to_system(d->space, (uintptr_t)p, bytes, &r),
		   "hmmu_migrate_to_system");
	check_moved(d->run, &r, bytes, "back");
}

/* True if the thread @tid of this process has the service's name. */
static bool is_service(const char *tid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, SERVICE_NAME);
}

void bench_service_pin(struct bench_run *run, int cpu)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	cpu_set_t set;
	int found = 0;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] != '.' && is_service(e->d_name))
			found |= !sched_setaffinity(atoi(e->d_name),
						    sizeof(set), &set);
	}
	if (dir)
		closedir(dir);
	if (!found)
		bench_skip(run, "a thread named %s to pin", SERVICE_NAME);
}

size_t bench_device_large_bytes(struct bench_device *d, const void *p,
				size_t bytes)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(d->device);
	struct hmmu_mirror_reader *reader;
	uintptr_t va = (uintptr_t)p;
	size_t found = 0;
	uint64_t entry = 0;

	bench_must(d->run, hmmu_mirror_reader_create(mirror, &reader),
		   "hmmu_mirror_reader_create");
	for (; va < (uintptr_t)p + bytes; va += HMMU_LARGE_BYTES) {
		bench_must(d->run,
			   hmmu_device_fault(d->device, va, HMMU_LARGE_BYTES,
					     HMMU_ACCESS_READ),
			   "hmmu_device_fault");
		hmmu_mirror_read_begin(mirror, reader);
		if (!hmmu_mirror_lookup(mirror, va, &entry))
			entry = 0;
		hmmu_mirror_read_end(mirror, reader);
		if (entry & HMMU_DEVICE_LEAF_LOCAL)
			found += bench_large_bytes(
				d->run,
				(void *)(uintptr_t)hmmu_mirror_payload(entry),
				HMMU_LARGE_BYTES);
	}
	hmmu_mirror_reader_destroy(mirror, reader);
	return found;
}
