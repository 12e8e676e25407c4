/* SPDX-License-Identifier: MIT */
/*
 * Twice the same: random changes are made to memory that a device uses and to a
 * plain copy of it, and every result, every errno, every mapping and every byte
 * must be equal.
 *
 * Two arenas of address space lie far from where the kernel maps by itself. One
 * is managed: other threads migrate it out and home, take pages of it
 * exclusively and read it through ports all the while. On the other the same
 * calls are made by raw system calls, and what the device writes to the one the
 * CPU writes to the other.
 *
 * A failing run prints its seed, the number of the operation, and the last
 * operations before it.
 */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <hmmu/exclusive.h>

#include "fixture.h"

enum {
	ARENA_PAGES = 4 * 512,
	MIGRATORS = 2,
	CHECK_EVERY = 150,
	LAST = 24,
	MOST_MAPS = 4096,
};

#define ARENA_BYTES ((size_t)ARENA_PAGES * PAGE)
/* AddressSanitizer's shadow lies where the others have room. */
#define FAR	    (HMMU_ASAN ? 0x200000000000ul : 0x1000000000ul)
#define MANAGED	    ((char *)FAR)
#define PLAIN	    ((char *)(2 * FAR))

/* One call on both sides. */
struct sides {
	long managed;
	long plain;
};

static struct hmmu_port *port;
static _Atomic unsigned int stop;
static uint64_t state;
static unsigned long count;
static char last[LAST][160];
static const struct live_way *way;
/* Held by migrators; alone by who wants none. */
static pthread_rwlock_t migrating = PTHREAD_RWLOCK_INITIALIZER;
static unsigned char *buffer;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char *line = last[count % LAST];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(last[0]), "%lu %s ", count,
		     way->hooked ? "libc" : "raw");
	va_start(ap, format);
	(void)vsnprintf(line + n, sizeof(last[0]) - (size_t)n, format, ap);
	va_end(ap);
}

__attribute__((format(printf, 1, 2))) _Noreturn static void
differs(const char *format, ...)
{
	char text[256];
	unsigned long i;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (i = count < LAST ? 0 : count - LAST + 1; i <= count; i++)
		printf("# %s\n", last[i % LAST]);
	hmmu_test_fail(__FILE__, __LINE__, "operation %lu: %s", count, text);
}

/* As a raw system call returns it. */
static long outcome(long ret)
{
	return ret == -1 ? -errno : ret;
}

static void same(struct sides s, const char *what)
{
	if (s.managed != s.plain)
		differs("%s: %ld, not %ld", what, s.managed, s.plain);
}

static char *managed(size_t page)
{
	return MANAGED + page * PAGE;
}

static char *plain(size_t page)
{
	return PLAIN + page * PAGE;
}

/* Mappings ---------------------------------------------------------------------- */

struct map {
	uintptr_t start;
	uintptr_t end;
	int prot;
};

/* Those of an arena, relative to it; neighbours that look the same are one. */
static size_t read_maps(const char *arena, struct map *maps, bool merge)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uintptr_t base = (uintptr_t)arena, lo, hi;
	char line[512], prot[5];
	size_t n = 0;

	HMMU_CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		struct map m;

		if (sscanf(line, "%lx-%lx %4s", &lo, &hi, prot) != 3 ||
		    hi <= base || lo >= base + ARENA_BYTES)
			continue;
		m.start = lo - base;
		m.end = hi - base;
		m.prot = (prot[0] == 'r' ? PROT_READ : 0) |
			 (prot[1] == 'w' ? PROT_WRITE : 0);
		if (merge && n && maps[n - 1].end == m.start &&
		    maps[n - 1].prot == m.prot)
			maps[n - 1].end = m.end;
		else if (n < MOST_MAPS)
			maps[n++] = m;
	}
	fclose(f);
	return n;
}

static struct map *maps_of[2];

static void compare_maps(void)
{
	size_t n[2], i;

	n[0] = read_maps(MANAGED, maps_of[0], true);
	n[1] = read_maps(PLAIN, maps_of[1], true);
	for (i = 0; i < n[0] && i < n[1]; i++)
		if (memcmp(&maps_of[0][i], &maps_of[1][i],
			   sizeof(struct map)) != 0)
			differs("mapping %zu: %lx-%lx %d, not %lx-%lx %d", i,
				maps_of[0][i].start, maps_of[0][i].end,
				maps_of[0][i].prot, maps_of[1][i].start,
				maps_of[1][i].end, maps_of[1][i].prot);
	if (n[0] != n[1])
		differs("%zu mappings, not %zu", n[0], n[1]);
}

/* The pages lie in one mapping, on both sides. */
static bool in_one_mapping(size_t first, size_t pages)
{
	uintptr_t start = first * PAGE, end = start + pages * PAGE;
	size_t side, i, n;

	for (side = 0; side < 2; side++) {
		n = read_maps(side ? PLAIN : MANAGED, maps_of[side], false);
		for (i = 0; i < n; i++)
			if (maps_of[side][i].start <= start &&
			    maps_of[side][i].end >= end)
				break;
		if (i == n)
			return false;
	}
	return true;
}

/* Bytes -------------------------------------------------------------------------- */

static sigjmp_buf fault;
static volatile sig_atomic_t may_fault;

static void faulted(int sig)
{
	if (!may_fault)
		abort();
	siglongjmp(fault, sig);
}

static long access_pages(char *to, const char *from, size_t bytes)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig) {
		may_fault = 1;
		memcpy(to, from, bytes);
	}
	may_fault = 0;
	return sig;
}

static void compare_page(size_t page)
{
	static unsigned char a[PAGE], b[PAGE];
	struct sides s;
	size_t i;

	s.managed = access_pages((char *)a, managed(page), PAGE);
	s.plain = access_pages((char *)b, plain(page), PAGE);
	same(s, "read of a page");
	if (s.plain || !memcmp(a, b, PAGE))
		return;
	for (i = 0; a[i] == b[i]; i++)
		;
	differs("page %zu byte %zu: 0x%x, not 0x%x", page, i, a[i], b[i]);
}

static void compare_all(void)
{
	size_t page;

	compare_maps();
	for (page = 0; page < ARENA_PAGES; page++)
		compare_page(page);
}

/* Operations ----------------------------------------------------------------------- */

static int some_prot(void)
{
	static const int prots[] = { PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE, PROT_READ,
				     PROT_NONE };

	return prots[draw(5)];
}

static void op_map(size_t first, size_t pages)
{
	int prot = some_prot();
	int flags = MAP_FIXED | (draw(4) ? MAP_NORESERVE : (int)MAP_POPULATE);
	struct sides s;

	say("map %zu+%zu prot %d flags %x", first, pages, prot, flags);
	s.managed = outcome(
		(long)way->map(managed(first), pages * PAGE, prot, flags));
	s.plain = outcome(
		(long)live_raw.map(plain(first), pages * PAGE, prot, flags));
	if (s.managed > 0 && s.plain > 0)
		s.managed += PLAIN - MANAGED;
	same(s, "mmap");
}

static void op_unmap(size_t first, size_t pages)
{
	struct sides s;

	say("unmap %zu+%zu", first, pages);
	s.managed = outcome(way->unmap(managed(first), pages * PAGE));
	s.plain = outcome(live_raw.unmap(plain(first), pages * PAGE));
	same(s, "munmap");
}

static void op_protect(size_t first, size_t pages)
{
	int prot = some_prot();
	struct sides s;

	/* Linux tells nobody of it when it is made behind the hooks (E6). */
	if (live_is_late(&live_hooked))
		return;
	say("protect %zu+%zu prot %d", first, pages, prot);
	s.managed = outcome(
		live_hooked.protect(managed(first), pages * PAGE, prot));
	s.plain = outcome(live_raw.protect(plain(first), pages * PAGE, prot));
	same(s, "mprotect");
}

static void op_advise(size_t first, size_t pages)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_DONTNEED,	   MADV_DONTNEED,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE,	   MADV_COLD,
		MADV_PAGEOUT,  MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_WILLNEED,
	};
	int advice = advices[draw(sizeof(advices) / sizeof(advices[0]))];
	struct sides s;

	/* The kernel's own touches, which an ordinary user's gets no answer
	 * to. */
	if (!live_serves_kernel() &&
	    (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE))
		return;

	say("advise %zu+%zu %d", first, pages, advice);
	s.managed = outcome(way->advise(managed(first), pages * PAGE, advice));
	s.plain = outcome(live_raw.advise(plain(first), pages * PAGE, advice));
	same(s, "madvise");
}

/*
 * Several mappings are moved one by one by new kernels, if nobody watches. So
 * only one is, and behind the hooks nobody may begin to watch a part of it
 * meanwhile (E3).
 */
static void remap(size_t first, size_t pages)
{
	static const int flags[] = { 0, MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED |
					     MREMAP_DONTUNMAP };
	int flag = flags[draw(4)];
	size_t to = draw(ARENA_PAGES), room = ARENA_PAGES - to;
	size_t want = flag & MREMAP_DONTUNMAP || draw(2) ? pages : 1 + draw(64);
	struct sides s;

	if (!flag)
		room = ARENA_PAGES - first;
	if (want > room || !in_one_mapping(first, pages))
		return;
	say("remap %zu+%zu to %zu+%zu flags %d", first, pages, to, want, flag);
	s.managed = outcome((long)way->remap(managed(first), pages * PAGE,
					     want * PAGE, flag, managed(to)));
	s.plain = outcome((long)live_raw.remap(plain(first), pages * PAGE,
					       want * PAGE, flag, plain(to)));
	if (s.managed > 0 && s.plain > 0)
		s.managed += PLAIN - MANAGED;
	same(s, "mremap");
}

static void op_remap(size_t first, size_t pages)
{
	bool alone = live_is_late(way);

	if (alone)
		HMMU_CHECK_OK(-pthread_rwlock_wrlock(&migrating));
	remap(first, pages);
	if (alone)
		HMMU_CHECK_OK(-pthread_rwlock_unlock(&migrating));
}

static void fill_buffer(size_t bytes)
{
	size_t i;

	for (i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word = draw(UINT32_MAX);

		memcpy(buffer + i, &word, sizeof(word));
	}
}

static void op_write(size_t first, size_t pages)
{
	size_t bytes = pages > 8 ? 8 * PAGE : pages * PAGE;
	struct sides s;

	fill_buffer(bytes);
	say("write %zu, %zu bytes", first, bytes);
	s.managed = access_pages(managed(first), (char *)buffer, bytes);
	s.plain = access_pages(plain(first), (char *)buffer, bytes);
	same(s, "write");
}

/* The device's write stops where the CPU's does. */
static void op_device_write(size_t first, size_t pages)
{
	size_t page, n = pages > 8 ? 8 : pages;
	struct sides s;

	fill_buffer(n * PAGE);
	say("device writes %zu+%zu", first, n);
	for (page = first; page < first + n; page++) {
		unsigned char *from = buffer + (page - first) * PAGE;

		do {
			s.managed = hmmu_port_write(port,
						    (uintptr_t)managed(page),
						    from, PAGE, NULL);
		} while (s.managed == -EBUSY);
		s.plain = access_pages(plain(page), (char *)from, PAGE);
		if (!s.managed != !s.plain)
			differs("device write of page %zu: %ld, not %ld", page,
				s.managed, s.plain);
	}
}

static void op_read(size_t first, size_t pages)
{
	size_t page;

	say("read %zu+%zu", first, pages);
	for (page = first; page < first + pages && page < first + 16; page++)
		compare_page(page);
}

static void op_device_read(size_t first, size_t pages)
{
	struct sides s;
	size_t page;

	say("device reads %zu+%zu", first, pages);
	for (page = first; page < first + pages && page < first + 16; page++) {
		do {
			s.managed = hmmu_port_read(port,
						   (uintptr_t)managed(page),
						   buffer, PAGE, NULL);
		} while (s.managed == -EBUSY);
		s.plain =
			access_pages((char *)buffer + PAGE, plain(page), PAGE);
		if (!s.managed != !s.plain)
			differs("device read of page %zu: %ld, not %ld", page,
				s.managed, s.plain);
		if (!s.plain && memcmp(buffer, buffer + PAGE, PAGE) != 0)
			differs("device read of page %zu: other bytes", page);
	}
}

static void op_lock(size_t first, size_t pages)
{
	size_t n = pages > 16 ? 16 : pages;
	struct sides s;

	if (!live_serves_kernel())
		return;
	say("lock and unlock %zu+%zu", first, n);
	s.managed = outcome(live_lock(managed(first), n * PAGE));
	s.plain = outcome(live_lock(plain(first), n * PAGE));
	same(s, "mlock");
	s.managed = outcome(live_unlock(managed(first), n * PAGE));
	s.plain = outcome(live_unlock(plain(first), n * PAGE));
	same(s, "munlock");
}

/* Both write, and each has its own. */
static void op_fork(size_t first, size_t pages)
{
	pid_t child;

	if (draw(8))
		return;
	say("fork, %zu+%zu", first, pages);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		compare_all();
		op_write(first, pages);
		compare_all();
		_exit(0);
	}
	op_write(first, pages);
	live_child_ok(child);
}

/* A large page, which the device may take whole before it is split. */
static void op_large(size_t first, size_t pages)
{
	size_t block = first / PER_LARGE * PER_LARGE;
	struct sides s;

	(void)pages;
	say("large page %zu", block);
	s.managed = outcome((long)way->map(managed(block), LARGE,
					   PROT_READ | PROT_WRITE, MAP_FIXED));
	s.plain = outcome((long)live_raw.map(
		plain(block), LARGE, PROT_READ | PROT_WRITE, MAP_FIXED));
	HMMU_CHECK(s.managed > 0 && s.plain > 0);
	way->advise(managed(block), LARGE, MADV_HUGEPAGE);
	live_raw.advise(plain(block), LARGE, MADV_HUGEPAGE);
	live_fill(plain(block), LARGE, count);
	live_fill(managed(block), LARGE, count);
	(void)live_migrate(live_device, managed(block), LARGE);
}

/* What the kernel refuses it refuses on both sides, and nothing changes. */
static void op_refused(size_t first, size_t pages)
{
	struct sides s;

	say("refused %zu+%zu", first, pages);
	s.managed = outcome(way->unmap(managed(first) + 1, pages * PAGE));
	s.plain = outcome(live_raw.unmap(plain(first) + 1, pages * PAGE));
	same(s, "munmap, misaligned");
	s.managed = outcome(way->advise(managed(first), pages * PAGE, 4711));
	s.plain = outcome(live_raw.advise(plain(first), pages * PAGE, 4711));
	same(s, "madvise, unknown");
	s.managed = outcome((long)way->remap(managed(first), pages * PAGE,
					     pages * PAGE, MREMAP_FIXED,
					     managed(0)));
	s.plain = outcome((long)live_raw.remap(plain(first), pages * PAGE,
					       pages * PAGE, MREMAP_FIXED,
					       plain(0)));
	same(s, "mremap, flags");
	s.managed = outcome(way->unmap(managed(first), 0));
	s.plain = outcome(live_raw.unmap(plain(first), 0));
	same(s, "munmap of nothing");
}

static void operate(void)
{
	static void (*const ops[])(size_t first, size_t pages) = {
		op_map,	    op_map,	     op_unmap, op_protect,
		op_advise,  op_advise,	     op_remap, op_remap,
		op_write,   op_write,	     op_write, op_device_write,
		op_read,    op_device_read,  op_lock,  op_fork,
		op_refused, op_device_write, op_large,
	};
	size_t first = draw(ARENA_PAGES);
	size_t pages = draw(3) ? 1 + draw(40) : 1 + draw(ARENA_PAGES);

	if (pages > ARENA_PAGES - first)
		pages = ARENA_PAGES - first;
	way = draw(2) ? &live_hooked : &live_raw;
	ops[draw(sizeof(ops) / sizeof(ops[0]))](first, pages);
	if (count % CHECK_EVERY == CHECK_EVERY - 1)
		compare_all();
}

/* The device's side ------------------------------------------------------------------- */

static void *migrate(void *arg)
{
	uint64_t random = (uintptr_t)arg;

	while (!atomic_load_explicit(&stop, memory_order_acquire)) {
		uintptr_t start, end;

		random = random * 6364136223846793005ull +
			 1442695040888963407ull;
		start = (uintptr_t)MANAGED +
			(random >> 33) % ARENA_PAGES * PAGE;
		end = start + (1 + (random >> 20) % 600) * PAGE;
		if (end > (uintptr_t)MANAGED + ARENA_BYTES)
			end = (uintptr_t)MANAGED + ARENA_BYTES;
		HMMU_CHECK_OK(-pthread_rwlock_rdlock(&migrating));
		if (random >> 13 & 3)
			(void)live_migrate(live_device, (void *)start,
					   end - start);
		else if (random >> 15 & 1)
			(void)!hmmu_migrate_home(live_space, start, end, NULL);
		else
			(void)!hmmu_make_exclusive(live_device, start,
						   start + PAGE, NULL);
		HMMU_CHECK_OK(-pthread_rwlock_unlock(&migrating));
		usleep((useconds_t)(random >> 40 & 127));
	}
	return arg;
}

static void open_all(void)
{
	struct sigaction sa = { .sa_handler = faulted, .sa_flags = SA_NODEFER };

	/* Before HMMU's, which hands on what is not its own. */
	HMMU_CHECK_OK(sigaction(SIGSEGV, &sa, NULL));
	HMMU_CHECK_OK(sigaction(SIGBUS, &sa, NULL));
	live_open();
	if (!live_can_migrate())
		HMMU_SKIP("UFFDIO_MOVE");
	port = live_port();
	buffer = hmmu_alloc(16 * PAGE);
	maps_of[0] = hmmu_alloc(MOST_MAPS * sizeof(struct map));
	maps_of[1] = hmmu_alloc(MOST_MAPS * sizeof(struct map));
	HMMU_CHECK(buffer && maps_of[0] && maps_of[1]);
	way = &live_raw;
	HMMU_CHECK(way->map(MANAGED, ARENA_BYTES, PROT_READ | PROT_WRITE,
			    MAP_FIXED_NOREPLACE) == MANAGED);
	HMMU_CHECK(way->map(PLAIN, ARENA_BYTES, PROT_READ | PROT_WRITE,
			    MAP_FIXED_NOREPLACE) == PLAIN);
}

static void stress_differ(void)
{
	uint64_t begun = live_now_ns();
	pthread_t threads[MIGRATORS];
	struct hmmu_space_stats s;
	uintptr_t i;

	open_all();
	state = hmmu_test_seed() * 0x9e3779b97f4a7c15ull + 1;
	madvise(MANAGED, ARENA_BYTES / 2, MADV_HUGEPAGE);
	madvise(PLAIN, ARENA_BYTES / 2, MADV_HUGEPAGE);
	for (i = 0; i < MIGRATORS; i++)
		threads[i] = live_thread(migrate, (void *)(state + i));
	while (live_now_ns() - begun < hmmu_test_seconds() * 1000000000ull) {
		operate();
		count++;
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
	for (i = 0; i < MIGRATORS; i++)
		live_join(threads[i]);
	compare_all();
	s = live_stats();
	printf("%lu operations; %llu pages out (%llu large), %llu home, %llu "
	       "dropped\n",
	       count, (unsigned long long)s.pages_to_device,
	       (unsigned long long)s.large_to_device,
	       (unsigned long long)s.pages_home,
	       (unsigned long long)s.pages_dropped);
	HMMU_CHECK(count > 100 && s.pages_to_device);
	hmmu_port_close(port);
	live_close();
	compare_all();
}

HMMU_TEST_MAIN(HMMU_TEST(stress_differ))
