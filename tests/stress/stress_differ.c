/* SPDX-License-Identifier: MIT */
/*
 * Random operations on memory that a device uses and on a plain copy, see
 * differ.h
 *
 * A failing run prints its seed, the number of the operation and the last
 * operations before it. `--seed N --ops N --trace --no-fork --only CASE`
 * repeats the same operations. The timing of the other threads is not repeated.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "differ.h"

/* All sanitizers leave addresses below 2 GiB to the program. */
#define MANAGED_START 0x20000000ul
#define PLAIN_START   (MANAGED_START + (1ul << 30))
/* A page between two worlds, so that mappings do not merge. */
#define STRIDE	      (DIFFER_BYTES + PAGE)
/* After this time a raw discard may be applied too late. */
#define SLOW_NS	      100000000ull

struct differ_world differ_worlds[DIFFER_WORLDS];
unsigned int differ_world_count;
uint64_t differ_seed;
_Atomic unsigned int differ_stop;
pthread_rwlock_t differ_takers;

/* Steps ------------------------------------------------------------------------- */

static bool is_discard(const struct differ_op *op)
{
	return op->kind == DIFFER_ADVISE &&
	       (op->advice == MADV_DONTNEED || op->advice == MADV_FREE ||
		op->advice == MADV_REMOVE ||
		op->advice == MADV_DONTNEED_LOCKED);
}

/* The kernel accesses the memory. */
static bool is_by_kernel(const struct differ_op *op)
{
	switch (op->kind) {
	case DIFFER_LOCK:
	case DIFFER_PREAD:
	case DIFFER_PWRITE:
	case DIFFER_VM_READ:
	case DIFFER_VM_WRITE:
		return true;
	case DIFFER_ADVISE:
		return op->advice == MADV_POPULATE_READ ||
		       op->advice == MADV_POPULATE_WRITE;
	default:
		return false;
	}
}

static bool is_guard(const struct differ_op *op)
{
	return op->kind == DIFFER_ADVISE && op->advice == MADV_GUARD_INSTALL;
}

/* True if no page may migrate during the call; some migrate back before. */
static bool wants_rest(const struct differ_world *w, const struct differ_op *op)
{
	if (w->is_child)
		return false;
	return (is_guard(op) && differ_is_late(op)) ||
	       (is_by_kernel(op) && !live_serves_kernel());
}

static void rest_begin(struct differ_world *w, const struct differ_op *op)
{
	HMMU_CHECK_OK(-pthread_rwlock_wrlock(&differ_takers));
	if (op->is_spoilt)
		differ_bring_home(w, 0, DIFFER_BYTES);
	else if (is_guard(op))
		differ_bring_home(w, op->at, op->bytes);
	else if (!live_serves_kernel())
		differ_make_resident(w, op->at, op->bytes);
}

static void rest_end(void)
{
	HMMU_CHECK_OK(-pthread_rwlock_unlock(&differ_takers));
}

/* Repeat a raw discard whose event may have been applied too late. */
static struct differ_outcome call_managed(struct differ_world *w,
					  const struct differ_op *op)
{
	struct differ_outcome o;
	uint64_t begun, took;

	for (;;) {
		begun = live_now_ns();
		o = differ_call(w, DIFFER_MANAGED, op);
		took = live_now_ns() - begun;
		if (!is_discard(op) || !differ_is_late(op) || took < SLOW_NS)
			return o;
		w->slow_discards++;
	}
}

/* Its result depends on the location of pages. */
static bool is_collapse(const struct differ_op *op)
{
	return op->kind == DIFFER_ADVISE && op->advice == MADV_COLLAPSE &&
	       !op->is_spoilt;
}

/* Compare the bytes that the call, or the kernel for it, has read. */
static void same_read(struct differ_world *w, const struct differ_op *op,
		      long done)
{
	if (done > 0 &&
	    (op->kind == DIFFER_CPU_READ || op->kind == DIFFER_PWRITE ||
	     op->kind == DIFFER_VM_READ))
		differ_same_bytes(w, op->at, w->buffer[DIFFER_MANAGED],
				  w->buffer[DIFFER_PLAIN], (size_t)done);
}

static bool of_file(const struct differ_world *w, const struct differ_op *op)
{
	size_t i;

	for (i = 0; i < w->maps[DIFFER_PLAIN].count; i++) {
		const struct differ_map *m = &w->maps[DIFFER_PLAIN].map[i];

		if (m->inode && m->start < op->at + op->bytes &&
		    m->end > op->at)
			return true;
	}
	return false;
}

/* See differ.h. A call that failed may have been done in part. */
static void mark(struct differ_world *w, const struct differ_op *op, bool done,
		 bool was_file)
{
	bool late = differ_is_late(op);

	if (op->is_spoilt)
		return;
	if (late && (op->kind == DIFFER_PROTECT ||
		     (op->kind <= DIFFER_REMAP && was_file)))
		differ_mark(w, op->at, op->bytes, DIFFER_STALE, 0);
	if (!late && op->kind == DIFFER_PROTECT && done)
		differ_mark(w, op->at, op->bytes, 0, DIFFER_STALE);
	if (op->kind == DIFFER_ADVISE && op->advice == MADV_FREE)
		differ_mark(w, op->at, op->bytes, DIFFER_LAZY, 0);
	else if (done && (op->kind == DIFFER_MAP || op->kind == DIFFER_UNMAP ||
			  is_discard(op) || is_guard(op)))
		differ_mark(w, op->at, op->bytes, 0, DIFFER_LAZY);
}

/*
 * For an ordinary user locked memory is limited. Both sides share the limit, so
 * mlock could succeed on one side and fail on the other. Then skip it.
 */
static bool may_lock;

static void allow_locking(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	HMMU_CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
	may_lock = limit.rlim_cur == RLIM_INFINITY;
}

static void do_call(struct differ_world *w, const struct differ_op *op)
{
	struct differ_outcome managed, plain;
	bool rest = wants_rest(w, op), was_file = of_file(w, op);

	if (op->kind == DIFFER_LOCK && !may_lock)
		return;
	if (is_collapse(op) && was_file)
		return;
	if (op->kind >= DIFFER_PREAD)
		differ_settle(w, op->at, op->bytes);
	if (rest)
		rest_begin(w, op);
	managed = call_managed(w, op);
	if (rest)
		rest_end();
	plain = differ_call(w, DIFFER_PLAIN, op);
	if (!is_collapse(op))
		differ_same(w, &managed, &plain);
	same_read(w, op, plain.ret);
	mark(w, op, plain.ret >= 0, was_file);
}

static void do_remap(struct differ_world *w, const struct differ_op *op)
{
	struct differ_op over = *op;
	bool was_file = of_file(w, op);

	differ_remap(w, op);
	mark(w, op, true, was_file);
	over.at = hmmu_round_down(op->to, PAGE);
	over.bytes = op->to_bytes;
	if (of_file(w, &over))
		mark(w, &over, true, true);
}

static void do_fresh(struct differ_world *w, const struct differ_op *op)
{
	struct differ_op map = *op;

	map.kind = DIFFER_MAP;
	differ_map_fresh(w, op);
	mark(w, &map, true, of_file(w, &map));
}

static void check(struct differ_world *w, const struct differ_op *op)
{
	bool by_port = op->check == DIFFER_CHECK_BY_PORT;
	size_t bytes = hmmu_min(DIFFER_BUFFER_BYTES, DIFFER_BYTES - op->at);

	differ_compare_maps(w);
	if (op->check == DIFFER_CHECK_NOT)
		return;
	if (op->check == DIFFER_CHECK_ALL || op->is_spoilt) {
		differ_compare_bytes(w, 0, DIFFER_BYTES, op->value % 2);
		return;
	}
	differ_compare_bytes(w, op->at, hmmu_min(op->bytes, bytes), by_port);
	if (op->kind == DIFFER_REMAP)
		differ_compare_bytes(
			w, op->to, hmmu_min(op->to_bytes, 16 * PAGE), by_port);
}

static void trace(const struct differ_world *w, const struct differ_op *op)
{
	char text[200];

	differ_describe(op, text, sizeof(text));
	printf("%u %llu%s: %s\n", w->index, (unsigned long long)w->count,
	       w->is_child ? " child" : "", text);
	fflush(stdout);
}

void differ_do(struct differ_world *w, const struct differ_op *op)
{
	w->last[w->count % DIFFER_KEPT] = *op;
	w->kinds[op->kind]++;
	if (hmmu_test_trace())
		trace(w, op);
	if (op->kind == DIFFER_REMAP)
		do_remap(w, op);
	else if (op->kind == DIFFER_FRESH)
		do_fresh(w, op);
	else if (op->kind == DIFFER_COMPARE)
		differ_compare_bytes(w, op->at, op->bytes, op->write);
	else if (op->kind == DIFFER_FORK)
		differ_fork(w);
	else if (op->kind > DIFFER_FORK)
		differ_device_op(w, op);
	else
		do_call(w, op);
	check(w, op);
	w->count++;
}

void differ_step(struct differ_world *w)
{
	struct differ_op op;

	differ_draw_op(w, &op);
	differ_do(w, &op);
}

static void *run_world(void *arg)
{
	struct differ_world *w = arg;
	uint64_t end = live_now_ns() + hmmu_test_seconds() * 1000000000ull;

	while (w->count < hmmu_test_ops() && live_now_ns() < end)
		differ_step(w);
	differ_compare_all(w, true);
	return NULL;
}

/* Worlds ------------------------------------------------------------------------ */

static int new_memfd(void)
{
	int file = (int)syscall(SYS_memfd_create, "differ", 1u);

	HMMU_CHECK(file >= 0);
	return file;
}

/* A file of a file system, if it supports O_TMPFILE. */
static int new_file(void)
{
	const char *folder = getenv("TMPDIR");
	int file = open(folder ? folder : "/var/tmp",
			O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return file >= 0 ? file : new_memfd();
}

static void fill_file(struct differ_world *w, int file, size_t bytes)
{
	uint8_t *buffer = w->buffer[0];
	size_t at, n;

	for (at = 0; at < bytes; at += n) {
		n = hmmu_min(DIFFER_BUFFER_BYTES, bytes - at);
		differ_fill_buffer(buffer, n, at + 1);
		HMMU_CHECK_INT(pwrite(file, buffer, n, (off_t)at), n);
	}
}

static char *claim(uintptr_t at)
{
	void *p = mmap((void *)at, STRIDE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		       0);

	HMMU_CHECK(p == (void *)at);
	HMMU_CHECK_OK(mprotect((char *)p + DIFFER_BYTES, PAGE, PROT_NONE));
	return p;
}

static void world_open(struct differ_world *w, unsigned int index)
{
	unsigned int side;

	w->index = index;
	w->fails_at = SIZE_MAX;
	w->random = (differ_seed + index) * 0x9e3779b97f4a7c15ull | 1;
	for (side = 0; side < DIFFER_SIDES; side++) {
		w->base[side] = claim((side ? PLAIN_START : MANAGED_START) +
				      index * STRIDE);
		w->buffer[side] = hmmu_alloc(DIFFER_BUFFER_BYTES);
		HMMU_CHECK(w->buffer[side]);
		w->memfd[side] = new_memfd();
		w->file[side] = new_file();
		w->scratch[side] = new_memfd();
	}
	for (side = 0; side < DIFFER_SIDES; side++) {
		fill_file(w, w->memfd[side], DIFFER_MEMFD_BYTES);
		fill_file(w, w->file[side], DIFFER_FILE_BYTES);
	}
	w->turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	HMMU_CHECK(w->turn != MAP_FAILED);
	differ_read_maps(w);
}

static void takers_init(void)
{
	pthread_rwlockattr_t attr;

	HMMU_CHECK_OK(-pthread_rwlockattr_init(&attr));
	/* Prefer the writer, because there are many readers. */
	HMMU_CHECK_OK(-pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	HMMU_CHECK_OK(-pthread_rwlock_init(&differ_takers, &attr));
}

static void open_all(unsigned int worlds)
{
	unsigned int i;

	differ_seed = hmmu_test_seed();
	differ_world_count = worlds;
	allow_locking();
	takers_init();
	differ_catch_signals();
	differ_device_open();
	for (i = 0; i < worlds; i++) {
		world_open(&differ_worlds[i], i);
		differ_world_open_ports(&differ_worlds[i]);
	}
	differ_actors_start();
}

static void print_counts(void)
{
	struct hmmu_space_stats s = live_stats();
	uint64_t ops = 0, splits = 0, slow = 0;
	unsigned int i;

	for (i = 0; i < differ_world_count; i++) {
		ops += differ_worlds[i].count;
		splits += differ_worlds[i].splits;
		slow += differ_worlds[i].slow_discards;
	}
	printf("%llu operations; %llu mremaps left out; %llu slow discards\n",
	       (unsigned long long)ops, (unsigned long long)splits,
	       (unsigned long long)slow);
	printf("%llu pages out (%llu large), %llu home, %llu dropped\n",
	       (unsigned long long)s.pages_to_device,
	       (unsigned long long)s.large_to_device,
	       (unsigned long long)s.pages_home,
	       (unsigned long long)s.pages_dropped);
	HMMU_CHECK(ops > 100 && s.pages_to_device);
}

static void close_all(void)
{
	unsigned int i;

	atomic_store_explicit(&differ_stop, 1, memory_order_release);
	differ_actors_join();
	print_counts();
	for (i = 0; i < differ_world_count; i++)
		differ_compare_all(&differ_worlds[i], false);
	differ_device_close();
	for (i = 0; i < differ_world_count; i++)
		differ_compare_all(&differ_worlds[i], false);
	HMMU_CHECK(!live_is_registered());
}

/* One thread of the program, with the device's actors. */
static void stress_differ_one(void)
{
	open_all(1);
	run_world(&differ_worlds[0]);
	close_all();
}

/* Several threads, each with a world; neighbouring worlds share a block. */
static void stress_differ_threads(void)
{
	unsigned int i;

	open_all(DIFFER_WORLDS);
	for (i = 0; i < DIFFER_WORLDS; i++)
		differ_worlds[i].thread =
			live_thread(run_world, &differ_worlds[i]);
	for (i = 0; i < DIFFER_WORLDS; i++)
		live_join(differ_worlds[i].thread);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(stress_differ_one), HMMU_TEST(stress_differ_threads))
