/* SPDX-License-Identifier: MIT */
/*
 * The fixture of the live tests, see fixture.h
 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

struct hmmu_space *live_space;
struct hmmu_memory *live_memory;
struct hmmu_device *live_device;

/* Opening ----------------------------------------------------------------- */

/*
 * Read a short file of /proc as a string; false if it cannot be read. Uses the
 * raw system call: the hook of read(2) would wait for a migration that takes
 * pages.
 */
static bool read_line(const char *path, char *text, size_t bytes)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = file < 0 ? -1 : syscall(SYS_read, file, text, bytes - 1);

	if (file >= 0)
		close(file);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

bool live_task_says(unsigned int tid, const char *file, char *text,
		    size_t bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%u/%s", tid, file);
	return read_line(path, text, bytes);
}

/* True if thread @tid is the fault service and waits in ppoll(2). */
static bool is_waiting_service(unsigned int tid)
{
	char text[256];

	return live_task_says(tid, "comm", text, sizeof(text)) &&
	       strcmp(text, "hmmu-service\n") == 0 &&
	       live_task_says(tid, "syscall", text, sizeof(text)) &&
	       strtol(text, NULL, 10) == SYS_ppoll;
}

/*
 * A sanitizer maps memory in each new thread, also in the fault service. Wait
 * until it has done so: otherwise that memory could be placed in a hole that a
 * test makes, or change what a test counts.
 */
static void wait_for_service(void)
{
	uint64_t end = live_now_ns() + 10000000000ull;
	struct dirent *entry;
	bool waits = false;
	DIR *tasks;

	while (!waits && live_now_ns() < end) {
		tasks = opendir("/proc/self/task");
		HMMU_CHECK(tasks);
		while (!waits && (entry = readdir(tasks)))
			waits = is_waiting_service(
				(unsigned int)strtoul(entry->d_name, NULL, 10));
		closedir(tasks);
		live_sleep_ms(waits ? 0 : 1);
	}
	HMMU_CHECK(waits);
}

void live_open_space(void)
{
	const char *why = NULL;
	int err = hmmu_space_open(NULL, &why, &live_space);

	if (err == -EOPNOTSUPP) {
		HMMU_CHECK(why);
		HMMU_SKIP("userfaultfd");
	}
	HMMU_CHECK_OK(err);
	if (LIVE_SANITIZED)
		wait_for_service();
}

struct hmmu_device *live_add_kind(enum hmmu_memory_kind kind, size_t bytes,
				  struct hmmu_memory **memory)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options),
		.kind = (uint32_t)kind,
		.bytes = bytes,
	};
	struct hmmu_device_options options = { .size = sizeof(options),
					       .name = "test" };
	struct hmmu_device *device;

	if (bytes) {
		HMMU_CHECK_OK(hmmu_memory_create(live_space, &memory_options,
						 memory));
		options.memory = *memory;
	}
	HMMU_CHECK_OK(hmmu_device_create(live_space, &options, &device));
	return device;
}

struct hmmu_device *live_add_device(size_t bytes, struct hmmu_memory **memory)
{
	return live_add_kind(HMMU_MEMORY_HOST_PRIVATE, bytes, memory);
}

void live_remove_device(struct hmmu_device *device, struct hmmu_memory *memory)
{
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
}

void live_open_bytes(size_t bytes)
{
	live_open_space();
	live_device = live_add_device(bytes, &live_memory);
}

void live_open(void)
{
	live_open_bytes(32 * LARGE);
}

void live_open_served(void)
{
	if (!live_serves_kernel() && live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	live_open();
}

void live_close(void)
{
	HMMU_CHECK_OK(hmmu_device_destroy(live_device));
	HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	live_device = NULL;
	live_memory = NULL;
	live_space = NULL;
}

bool live_is_forced(const char *fallback)
{
	char name[64];
	const char *value;

	snprintf(name, sizeof(name), "HMMU_FORCE_%s", fallback);
	value = getenv(name);
	return value && *value && strcmp(value, "0") != 0;
}

/* Open the most capable userfaultfd; @ret_full: it reports kernel faults. */
static int open_userfaultfd(int *ret_full)
{
	int file, dev;

	*ret_full = 1;
	file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (file >= 0)
		return file;
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev >= 0) {
		file = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(dev);
		if (file >= 0)
			return file;
	}
	*ret_full = 0;
	return (int)syscall(SYS_userfaultfd,
			    O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
}

int live_userfaultfd(int flags, uint64_t features, const char *what)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int file, err;

	file = (int)syscall(SYS_userfaultfd,
			    O_CLOEXEC | UFFD_USER_MODE_ONLY | flags);
	HMMU_CHECK(file >= 0);
	err = ioctl(file, UFFDIO_API, &api);
	if (err && what)
		HMMU_SKIP(what);
	HMMU_CHECK_OK(err);
	return file;
}

void live_userfaultfd_register(int file, const void *p, size_t bytes,
			       uint64_t mode)
{
	struct uffdio_register reg = { .range = { (uintptr_t)p, bytes },
				       .mode = mode };

	HMMU_CHECK_OK(ioctl(file, UFFDIO_REGISTER, &reg));
}

bool live_serves_kernel(void)
{
	int full, file = open_userfaultfd(&full);

	if (file >= 0)
		close(file);
	return file >= 0 && full && !live_is_forced("USER_MODE");
}

bool live_can_move(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int full, file = open_userfaultfd(&full);
	bool moves;

	if (file < 0)
		return false;
	moves = ioctl(file, UFFDIO_API, &api) == 0 &&
		(api.features & UFFD_FEATURE_MOVE);
	close(file);
	return moves && !live_is_forced("NO_MOVE");
}

void live_need_move(void)
{
	if (!live_can_move())
		HMMU_SKIP("UFFDIO_MOVE");
}

void live_need_libc_heap(void)
{
	if (LIVE_SANITIZED)
		HMMU_SKIP("the C library's malloc");
}

void live_need_program_alone(void)
{
	if (LIVE_SANITIZED)
		HMMU_SKIP("memory without a sanitizer's own in it");
}

/* Memory ------------------------------------------------------------------ */

int live_lock(const void *p, size_t bytes)
{
	return (int)syscall(SYS_mlock, p, bytes);
}

int live_unlock(const void *p, size_t bytes)
{
	return (int)syscall(SYS_munlock, p, bytes);
}

/*
 * The address for a mapping of @bytes. A sanitizer's runtime maps memory at any
 * time, which must not be placed in a hole that a test makes. So with a
 * sanitizer use addresses below 2 GiB, which every sanitizer leaves to the
 * program and where the kernel places nothing by itself.
 */
static void *place_for(size_t bytes)
{
	static _Atomic uintptr_t next = 256ul << 20;

	if (!LIVE_SANITIZED)
		return NULL;
	return (void *)atomic_fetch_add_explicit(&next, bytes,
						 memory_order_relaxed);
}

/* The alignment with which @bytes are within one block. */
static size_t alignment(size_t bytes)
{
	size_t align = PAGE;

	while (align < bytes && align < LARGE)
		align *= 2;
	return align;
}

void *live_map(size_t bytes)
{
	size_t align = alignment(bytes);
	size_t all_bytes = bytes + 2 * align + PAGE;
	uintptr_t p;
	void *all = mmap(place_for(all_bytes), all_bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	HMMU_CHECK(all != MAP_FAILED);
	p = ((uintptr_t)all + 2 * align - 1) & ~(align - 1);
	HMMU_CHECK_OK(mprotect((void *)p, bytes, PROT_READ | PROT_WRITE));
	return (void *)p;
}

void *live_map_large(size_t blocks, uint64_t seed)
{
	void *p = live_map(blocks * LARGE);

	if (madvise(p, blocks * LARGE, MADV_HUGEPAGE))
		HMMU_SKIP("transparent large pages");
	live_fill(p, blocks * LARGE, seed);
	if (live_huge(p, blocks * LARGE) != blocks * PER_LARGE)
		HMMU_SKIP("transparent large pages");
	return p;
}

void *live_map_small(size_t pages, uint64_t seed)
{
	void *p = live_map(pages * PAGE);

	madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
	live_fill(p, pages * PAGE, seed);
	return p;
}

void live_fill(void *p, size_t bytes, uint64_t seed)
{
	uint64_t *words = p;
	size_t i;

	for (i = 0; i < bytes / sizeof(*words); i++)
		words[i] = live_word(seed, i);
}

void live_check_at(const char *file, int line, const void *p, size_t bytes,
		   uint64_t seed, size_t at_bytes)
{
	const volatile uint64_t *words = p;
	size_t i, first = at_bytes / sizeof(*words);
	uint64_t want, found;

	for (i = 0; i < bytes / sizeof(*words); i++) {
		want = seed == UINT64_MAX ? 0 : live_word(seed, first + i);
		found = words[i];
		if (found != want)
			hmmu_test_fail(file, line,
				       "byte 0x%zx of %p: 0x%llx, not 0x%llx",
				       i * sizeof(*words), p,
				       (unsigned long long)found,
				       (unsigned long long)want);
	}
}

/* Migration --------------------------------------------------------------- */

struct hmmu_migrate_result live_migrate(struct hmmu_device *device,
					const void *p, size_t bytes)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	uintptr_t start = hmmu_round_down((uintptr_t)p, PAGE);
	uintptr_t end = hmmu_round_up((uintptr_t)p + bytes, PAGE);
	uint64_t sum = 0;
	unsigned int i;
	int err = hmmu_device_migrate(device, (uintptr_t)p, bytes, &r);

	if (err == -EOPNOTSUPP && !live_can_move())
		HMMU_SKIP("UFFDIO_MOVE");
	HMMU_CHECK_OK(err);
	for (i = 0; i < HMMU_STAY_REASONS; i++)
		sum += r.stayed[i];
	HMMU_CHECK_INT(r.pages_stayed, sum);
	HMMU_CHECK_INT(r.pages_moved + r.pages_already + r.pages_stayed,
		       (end - start) / PAGE);
	HMMU_CHECK(r.large_moved * PER_LARGE <= r.pages_moved);
	return r;
}

void live_take(const void *p, size_t bytes)
{
	struct hmmu_migrate_result r = live_migrate(live_device, p, bytes);
	unsigned int i;

	for (i = 0; i < HMMU_STAY_REASONS; i++) {
		if (r.stayed[i])
			printf("%llu pages stayed: %s\n",
			       (unsigned long long)r.stayed[i],
			       hmmu_stay_text(i));
	}
	HMMU_CHECK_INT(r.pages_stayed, 0);
}

struct hmmu_space_stats live_stats(void)
{
	struct hmmu_space_stats stats = { .size = sizeof(stats) };

	HMMU_CHECK_OK(hmmu_space_get_stats(live_space, &stats));
	return stats;
}

static struct hmmu_memory_stats memory_stats(struct hmmu_memory *memory)
{
	struct hmmu_memory_stats stats = { .size = sizeof(stats) };

	HMMU_CHECK_OK(hmmu_memory_get_stats(memory, &stats));
	return stats;
}

struct hmmu_memory_stats live_memory_stats(void)
{
	return memory_stats(live_memory);
}

size_t live_used_pages(struct hmmu_memory *memory)
{
	return memory_stats(memory).used_pages;
}

uint64_t live_device_pages(void)
{
	return live_stats().device_pages;
}

/* State from the kernel --------------------------------------------------- */

static int open_pagemap(void)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	HMMU_CHECK(file >= 0);
	return file;
}

size_t live_present(const void *p, size_t bytes)
{
	int file = open_pagemap();
	size_t i, count = 0;
	uint64_t entry;

	for (i = 0; i < bytes / PAGE; i++) {
		HMMU_CHECK_INT(pread(file, &entry, sizeof(entry),
				     (off_t)(((uintptr_t)p / PAGE + i) *
					     sizeof(entry))),
			       sizeof(entry));
		count += entry >> 63;
	}
	close(file);
	return count;
}

size_t live_huge(const void *p, size_t bytes)
{
	struct page_region regions[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + bytes,
		.vec = (uintptr_t)regions,
		.vec_len = sizeof(regions) / sizeof(regions[0]),
		.category_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_HUGE,
	};
	int file = open_pagemap();
	int i, found = ioctl(file, PAGEMAP_SCAN, &scan);
	size_t pages = 0;

	close(file);
	for (i = 0; i < found; i++)
		pages += (regions[i].end - regions[i].start) / PAGE;
	return pages;
}

bool live_is_mapped(const void *p)
{
	unsigned char in_core;

	return mincore((void *)((uintptr_t)p & ~(PAGE - 1)), PAGE, &in_core) ==
	       0;
}

/* Call @fn for each line of a file of /proc, without stdio or malloc. */
static void each_line(const char *path, void (*fn)(const char *, size_t *),
		      size_t *count)
{
	char text[8192];
	size_t used = 0;
	ssize_t got;
	char *end;
	int file = open(path, O_RDONLY | O_CLOEXEC);

	HMMU_CHECK(file >= 0);
	while ((got = read(file, text + used, sizeof(text) - used - 1)) > 0) {
		used += (size_t)got;
		text[used] = '\0';
		while ((end = strchr(text, '\n'))) {
			*end = '\0';
			fn(text, count);
			used -= (size_t)(end + 1 - text);
			memmove(text, end + 1, used + 1);
		}
	}
	close(file);
}

static void count_line(const char *line, size_t *count)
{
	(void)line;
	++*count;
}

static bool has_flag(const char *line, const char *flag)
{
	return strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag);
}

static void count_registered(const char *line, size_t *count)
{
	if (has_flag(line, " um") || has_flag(line, " uw") ||
	    has_flag(line, " ui"))
		++*count;
}

/* The mapping to find in smaps; @here: the current lines are its. */
static struct {
	uintptr_t wanted;
	bool here;
} smaps;

static void count_armed(const char *line, size_t *count)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
		smaps.here = smaps.wanted >= start && smaps.wanted < end;
	if (smaps.here && has_flag(line, " um"))
		++*count;
}

size_t live_count_maps(void)
{
	size_t count = 0;

	each_line("/proc/self/maps", count_line, &count);
	return count;
}

bool live_is_armed(const void *p)
{
	size_t count = 0;

	smaps.wanted = (uintptr_t)p;
	smaps.here = false;
	each_line("/proc/self/smaps", count_armed, &count);
	return count > 0;
}

bool live_is_registered(void)
{
	size_t count = 0;

	each_line("/proc/self/smaps", count_registered, &count);
	return count > 0;
}

static size_t count_entries(const char *path)
{
	size_t count = 0;
	DIR *dir = opendir(path);

	HMMU_CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

size_t live_count_files(void)
{
	/* Without the directory that is being read. */
	return count_entries("/proc/self/fd") - 1;
}

static void *end_at_once(void *arg)
{
	return arg;
}

size_t live_count_threads(void)
{
	/* It starts a thread of its own with the program's first thread. */
	if (HMMU_TSAN)
		live_join(live_thread(end_at_once, NULL));
	return count_entries("/proc/self/task");
}

/* Mirror and ports -------------------------------------------------------- */

unsigned int live_leaf(struct hmmu_device *device, const void *p,
		       uint64_t *entry)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(device);
	struct hmmu_mirror_reader *reader;
	uint64_t found = 0;
	bool mapped;

	HMMU_CHECK_OK(hmmu_mirror_reader_create(mirror, &reader));
	hmmu_mirror_read_begin(mirror, reader);
	mapped = hmmu_mirror_lookup(mirror, (uintptr_t)p, &found);
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
	if (entry)
		*entry = found;
	return mapped ? hmmu_mirror_leaf_lg2(found) : 0;
}

int live_make_exclusive(struct hmmu_device *device, const void *p, size_t bytes,
			size_t *done)
{
	int err = hmmu_device_make_exclusive(device, (uintptr_t)p, bytes, done);

	if (err == -EOPNOTSUPP && !live_can_move())
		HMMU_SKIP("UFFDIO_MOVE");
	return err;
}

bool live_is_exclusive(struct hmmu_device *device, const void *p)
{
	const uint64_t want = HMMU_MIRROR_WRITE | HMMU_DEVICE_LEAF_LOCAL |
			      HMMU_DEVICE_LEAF_EXCLUSIVE;
	uint64_t entry;

	return live_leaf(device, p, &entry) == HMMU_PAGE_LG2 &&
	       (entry & want) == want;
}

struct hmmu_mirror_stats live_mirror(struct hmmu_device *device)
{
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	HMMU_CHECK_OK(
		hmmu_mirror_get_stats(hmmu_device_mirror(device), &stats));
	return stats;
}

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

void live_look(const struct hmmu_device *owner, const void *p, size_t pages,
	       uint64_t flags, uint64_t *entries)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = ignore };
	struct hmmu_range range = { .size = sizeof(range),
				    .owner = owner,
				    .start = (uintptr_t)p,
				    .end = (uintptr_t)p + pages * PAGE,
				    .entries = entries,
				    .default_flags = flags };

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p,
					   pages * PAGE, HMMU_NOTIFIER_LAZY,
					   &ops, NULL, &range.notifier));
	memset(entries, 0, pages * sizeof(*entries));
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range,
						HMMU_RANGE_DEFAULT_TIMEOUT_NS));
	hmmu_notifier_remove(range.notifier);
}

struct hmmu_port *live_port(void)
{
	struct hmmu_port *port;

	HMMU_CHECK_OK(hmmu_port_open(live_device, &port));
	return port;
}

uint64_t live_load(struct hmmu_port *port, const void *p)
{
	uint64_t value = 0;

	HMMU_CHECK_OK(hmmu_port_load64(port, (uintptr_t)p, &value));
	return value;
}

void live_store(struct hmmu_port *port, void *p, uint64_t value)
{
	HMMU_CHECK_OK(hmmu_port_store64(port, (uintptr_t)p, value));
}

/* Ways to change memory --------------------------------------------------- */

static void *hooked_map(void *p, size_t bytes, int prot, int flags)
{
	return mmap(p, bytes, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *hooked_remap(void *p, size_t bytes, size_t new_bytes, int flags,
			  void *to)
{
	return mremap(p, bytes, new_bytes, flags, to);
}

const struct live_way live_hooked = {
	.hooked = true,
	.unmap = munmap,
	.map = hooked_map,
	.remap = hooked_remap,
	.advise = madvise,
	.protect = mprotect,
};

static int raw_unmap(void *p, size_t bytes)
{
	return (int)syscall(SYS_munmap, p, bytes);
}

static void *raw_map(void *p, size_t bytes, int prot, int flags)
{
	return (void *)syscall(SYS_mmap, p, bytes, prot,
			       flags | MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
}

static void *raw_remap(void *p, size_t bytes, size_t new_bytes, int flags,
		       void *to)
{
	return (void *)syscall(SYS_mremap, p, bytes, new_bytes, flags, to);
}

static int raw_advise(void *p, size_t bytes, int advice)
{
	return (int)syscall(SYS_madvise, p, bytes, advice);
}

static int raw_protect(void *p, size_t bytes, int prot)
{
	return (int)syscall(SYS_mprotect, p, bytes, prot);
}

const struct live_way live_raw = {
	.hooked = false,
	.unmap = raw_unmap,
	.map = raw_map,
	.remap = raw_remap,
	.advise = raw_advise,
	.protect = raw_protect,
};

bool live_is_late(const struct live_way *way)
{
	return !way->hooked || live_is_forced("NO_HOOKS");
}

/* Threads, children, time ------------------------------------------------- */

#define STACK_BYTES (1ul << 20)

/*
 * A stack that the C library maps may merge with memory of a sanitizer's
 * runtime. When that mapping is armed, the fault service faults on the
 * runtime's memory, too, and waits for itself. Uses the raw system call: the
 * hook may abort a section of the caller.
 */
static void *map_stack(void)
{
	char *place = place_for(STACK_BYTES + 2 * PAGE);
	void *p = raw_map(place + PAGE, STACK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_NORESERVE);

	HMMU_CHECK(p != MAP_FAILED);
	return p;
}

pthread_t live_thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	HMMU_CHECK_OK(-pthread_attr_init(&attr));
	if (LIVE_SANITIZED)
		HMMU_CHECK_OK(-pthread_attr_setstack(&attr, map_stack(),
						     STACK_BYTES));
	HMMU_CHECK_OK(-pthread_create(&thread, &attr, fn, arg));
	pthread_attr_destroy(&attr);
	return thread;
}

void live_join(pthread_t thread)
{
	HMMU_CHECK_OK(-pthread_join(thread, NULL));
}

void live_child_ok(pid_t child)
{
	int status;

	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		hmmu_test_fail(__FILE__, __LINE__, "child: signal %d",
			       WTERMSIG(status));
	HMMU_CHECK_INT(WEXITSTATUS(status), 0);
}

bool live_died(int status, int number)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == number;
	return LIVE_SANITIZED && WEXITSTATUS(status) != 0;
}

uint64_t live_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void live_sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

bool live_wait_for(_Atomic unsigned int *word, unsigned int value,
		   unsigned int timeout_ms)
{
	uint64_t end =
		live_now_ns() + timeout_ms * 1000000ull * hmmu_test_slowness();

	while (atomic_load_explicit(word, memory_order_acquire) < value) {
		if (live_now_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}
