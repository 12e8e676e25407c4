/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers, rules IN1 to IN31, on changes that the program makes
 * through the C library and behind its back.
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fixture.h"

#define NEAR(t, a) ((t)->start <= (uintptr_t)(a) && (t)->end > (uintptr_t)(a))

/*
 * What a subscriber saw. Static or hmmu_alloc()'d: a callback touches nothing
 * that a device could hold.
 */
struct seen {
	_Atomic unsigned int calls;
	_Atomic unsigned int finishes;
	unsigned int order;
	unsigned int finish_order;
	_Atomic unsigned int waits;
	_Atomic unsigned int go;
	struct hmmu_invalidation last;
	uint64_t cur_seq;
	struct hmmu_notifier *sub;
	/* The change has been made already when the callback runs. */
	bool late;
	size_t present;
	void *watch;
};

static struct seen seen[4];
static _Atomic unsigned int clock_order;
/* Invalidations are parallel (IN6). */
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

static void record(struct seen *s, struct hmmu_notifier *sub,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	pthread_mutex_lock(&recording);
	s->sub = sub;
	s->last = *inv;
	s->cur_seq = cur_seq;
	s->order = atomic_fetch_add_explicit(&clock_order, 1,
					     memory_order_acq_rel);
	/* The first of them: one change may be told twice. */
	if (s->watch &&
	    !atomic_load_explicit(&s->calls, memory_order_acquire)) {
		s->late = !live_is_mapped(s->watch);
		s->present = live_present(s->watch, PAGE);
	}
	pthread_mutex_unlock(&recording);
	atomic_fetch_add_explicit(&s->calls, 1, memory_order_acq_rel);
}

/* While waits is set, the callback stays until go. */
static void invalidate(struct hmmu_notifier *sub, void *arg,
		       const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	struct seen *s = arg;

	hmmu_notifier_set_seq(sub, cur_seq);
	record(s, sub, inv, cur_seq);
	if (atomic_load_explicit(&s->waits, memory_order_acquire))
		HMMU_CHECK(live_wait_for(&s->go, 1, 10000));
}

static void finish(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv)
{
	struct seen *s = arg;

	HMMU_CHECK(sub == s->sub && inv->start == s->last.start);
	atomic_fetch_add_explicit(&s->finishes, 1, memory_order_acq_rel);
	s->finish_order = atomic_fetch_add_explicit(&clock_order, 1,
						    memory_order_acq_rel);
}

static const struct hmmu_notifier_ops one_pass = {
	.size = sizeof(one_pass),
	.invalidate = invalidate,
};
static const struct hmmu_notifier_ops two_pass = {
	.size = sizeof(two_pass),
	.invalidate = invalidate,
	.finish = finish,
};

static struct hmmu_notifier *subscribe(struct seen *s, const void *p,
				       size_t bytes)
{
	struct hmmu_notifier *sub;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, bytes, 0,
					   &one_pass, s, &sub));
	return sub;
}

static unsigned int calls(const struct seen *s)
{
	return atomic_load_explicit(&s->calls, memory_order_acquire);
}

static void end(struct hmmu_notifier *sub)
{
	hmmu_notifier_remove(sub);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static int try_insert(uintptr_t start, size_t bytes, unsigned int flags,
		      const struct hmmu_notifier_ops *ops)
{
	struct hmmu_notifier *sub = (void *)seen;
	int err = hmmu_notifier_insert(live_space, start, bytes, flags, ops,
				       seen, &sub);

	HMMU_CHECK(!err || sub == (void *)seen);
	if (!err)
		hmmu_notifier_remove(sub);
	return err;
}

static void test_notifier_in1_insert_errors(void)
{
	struct hmmu_notifier_ops ops = one_pass;
	struct hmmu_notifier *sub;
	struct {
		struct hmmu_notifier_ops known;
		uint64_t newer;
	} big = { .known = one_pass, .newer = 1 };

	live_open_space();
	HMMU_CHECK_INT(try_insert(PAGE, 0, 0, &ops), -EOVERFLOW);
	HMMU_CHECK_INT(try_insert(PAGE, SIZE_MAX, 0, &ops), -EOVERFLOW);
	HMMU_CHECK_INT(try_insert(UINTPTR_MAX, 2, 0, &ops), -EOVERFLOW);
	/* The last byte of all is an address too. */
	HMMU_CHECK_OK(try_insert(0, SIZE_MAX, HMMU_NOTIFIER_LAZY, &ops));
	HMMU_CHECK_OK(try_insert(UINTPTR_MAX, 1, 0, &ops));
	HMMU_CHECK_INT(try_insert(PAGE, PAGE, 0, NULL), -EINVAL);
	HMMU_CHECK_INT(try_insert(PAGE, PAGE, 1u << 31, &ops), -EINVAL);
	ops.invalidate = NULL;
	HMMU_CHECK_INT(try_insert(PAGE, PAGE, 0, &ops), -EINVAL);
	ops = one_pass;
	ops.size = 8;
	HMMU_CHECK_INT(try_insert(PAGE, PAGE, 0, &ops), -EINVAL);
	big.known.size = sizeof(big);
	HMMU_CHECK_INT(try_insert(PAGE, PAGE, 0, &big.known), -E2BIG);
	HMMU_CHECK_INT(hmmu_notifier_insert(NULL, PAGE, PAGE, 0, &one_pass,
					    NULL, &sub),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_notifier_insert(live_space, PAGE, PAGE, 0,
					    &one_pass, NULL, NULL),
		       -EINVAL);
	hmmu_notifier_remove(NULL);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

/* A space is of one process; for want of memory see test_sweep. */
static void test_notifier_in2_not_in_a_child(void)
{
	struct hmmu_notifier *sub;
	pid_t child;

	live_open_space();
	sub = subscribe(&seen[0], seen, PAGE);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		HMMU_CHECK_INT(try_insert(PAGE, PAGE, 0, &one_pass), -ECHILD);
		hmmu_notifier_remove(sub);
		_exit(0);
	}
	live_child_ok(child);
	HMMU_CHECK_OK(try_insert(PAGE, PAGE, 0, &one_pass));
	end(sub);
}

/* Subscribed to the middle 8 of 24 pages. */
static struct hmmu_notifier *sub_of_middle(char **p)
{
	live_open_space();
	*p = live_map_small(24, 1);
	seen[0].watch = *p + 8 * PAGE;
	return subscribe(&seen[0], *p + 8 * PAGE, 8 * PAGE);
}

static void check_told(const struct live_way *way, const char *at,
		       enum hmmu_event event)
{
	LIVE_CHECK_AFTER(way, calls(&seen[0]) >= 1);
	/* A change that is told twice may be recorded again just now. */
	pthread_mutex_lock(&recording);
	HMMU_CHECK_INT(seen[0].last.event, event);
	HMMU_CHECK(NEAR(&seen[0].last, at));
	HMMU_CHECK(!seen[0].last.owner);
	/* A hook is in time: the old page was still there. */
	if (way->hooked && !live_is_forced("NO_HOOKS")) {
		HMMU_CHECK(!seen[0].late);
		HMMU_CHECK_INT(seen[0].present, 1);
	}
	pthread_mutex_unlock(&recording);
}

static void test_notifier_in19_munmap(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	HMMU_CHECK_OK(way->unmap(p + 8 * PAGE, PAGE));
	check_told(way, p + 8 * PAGE, HMMU_EVENT_UNMAP);
	end(sub);
}
BOTH_WAYS(test_notifier_in19_munmap)

static void test_notifier_in19_mmap_over(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	HMMU_CHECK(way->map(p, 12 * PAGE, PROT_READ, MAP_FIXED) == p);
	check_told(way, p + 8 * PAGE, HMMU_EVENT_UNMAP);
	end(sub);
}
BOTH_WAYS(test_notifier_in19_mmap_over)

static void test_notifier_in19_mremap_source(const struct live_way *way)
{
	char *p, *to;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	to = way->remap(p, 24 * PAGE, 100 * PAGE, MREMAP_MAYMOVE, NULL);
	HMMU_CHECK(to != MAP_FAILED && to != p);
	check_told(way, p + 8 * PAGE, HMMU_EVENT_UNMAP);
	LIVE_CHECK(to, 24 * PAGE, 1);
	end(sub);
}
BOTH_WAYS(test_notifier_in19_mremap_source)

static void test_notifier_in19_mremap_target(const struct live_way *way)
{
	char *p, *from;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	from = live_map_small(4, 9);
	HMMU_CHECK(way->remap(from, 4 * PAGE, 4 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED,
			      p + 8 * PAGE) == p + 8 * PAGE);
	check_told(way, p + 8 * PAGE, HMMU_EVENT_UNMAP);
	LIVE_CHECK(p + 8 * PAGE, 4 * PAGE, 9);
	end(sub);
}
BOTH_WAYS(test_notifier_in19_mremap_target)

static void test_notifier_in19_mremap_shrink(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	HMMU_CHECK(way->remap(p, 24 * PAGE, 4 * PAGE, 0, NULL) == p);
	check_told(way, p + 8 * PAGE, HMMU_EVENT_UNMAP);
	end(sub);
}
BOTH_WAYS(test_notifier_in19_mremap_shrink)

static void test_notifier_in20_madvise(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	HMMU_CHECK_OK(way->advise(p + 8 * PAGE, 3 * PAGE, MADV_DONTNEED));
	check_told(way, p + 8 * PAGE, HMMU_EVENT_CLEAR);
	HMMU_CHECK_INT(live_present(p + 8 * PAGE, 3 * PAGE), 0);
	end(sub);
}
BOTH_WAYS(test_notifier_in20_madvise)

/* mprotect() has no event: only the hook can tell (E6). */
static void test_notifier_in21_mprotect(void)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	HMMU_CHECK_OK(mprotect(p + 8 * PAGE, PAGE, PROT_READ));
	check_told(&live_hooked, p + 8 * PAGE, HMMU_EVENT_PROTECTION_VMA);
	end(sub);
}

/* And FK3, IN28: the child has no subscription to tell. */
static void test_notifier_in22_fork_tells_the_parent(void)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	live_child_ok(child);
	HMMU_CHECK(calls(&seen[0]) >= 1);
	HMMU_CHECK_INT(seen[0].last.event, HMMU_EVENT_PROTECTION_PAGE);
	HMMU_CHECK(NEAR(&seen[0].last, p + 8 * PAGE));
	end(sub);
}

/* free() of a large block: a munmap() inside libc, which no hook sees (E6). */
static void test_notifier_e6_free_of_a_large_block(void)
{
	char *p;
	struct hmmu_notifier *sub;
	uintptr_t inside;

	live_need_libc_heap();
	live_open_space();
	p = malloc(4 * LARGE);
	HMMU_CHECK(p);
	memset(p, 1, 4 * LARGE);
	inside = (uintptr_t)p + LARGE;
	sub = subscribe(&seen[0], p, 4 * LARGE);
	free(p);
	HMMU_CHECK(!live_is_mapped((void *)inside));
	LIVE_CHECK_AFTER(&live_raw, calls(&seen[0]) >= 1);
	HMMU_CHECK_INT(seen[0].last.event, HMMU_EVENT_UNMAP);
	end(sub);
}

static void
test_notifier_in1_neighbours_are_not_told(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	HMMU_CHECK_OK(way->unmap(p + 7 * PAGE, PAGE));
	HMMU_CHECK_OK(way->unmap(p + 16 * PAGE, PAGE));
	HMMU_CHECK_OK(way->advise(p, 7 * PAGE, MADV_DONTNEED));
	HMMU_CHECK_INT(calls(&seen[0]), 0);
	/* Its last page is its own. */
	HMMU_CHECK_OK(way->unmap(p + 15 * PAGE, PAGE));
	LIVE_CHECK_AFTER(way, calls(&seen[0]) >= 1);
	end(sub);
}
BOTH_WAYS(test_notifier_in1_neighbours_are_not_told)

static void test_notifier_told_of_memory_mapped_later(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_notifier *sub;

	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	/* Now, for what opening maps must not land in the hole. */
	live_open_space();
	HMMU_CHECK_OK(munmap(p, 8 * PAGE));
	sub = subscribe(&seen[0], p, 8 * PAGE);
	HMMU_CHECK(mmap(p, 8 * PAGE, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p);
	p[0] = 1;
	HMMU_CHECK_OK(munmap(p, PAGE));
	HMMU_CHECK(calls(&seen[0]) >= 1);
	end(sub);
}

/* Lazy: watched from the first range fault on. */
static void test_notifier_lazy_watches_what_was_faulted(void)
{
	char *p = live_map_small(8, 1);
	uint64_t entries[8] = { 0 };
	struct hmmu_range range = { .size = sizeof(range),
				    .start = (uintptr_t)p,
				    .end = (uintptr_t)p + 8 * PAGE,
				    .entries = entries,
				    .default_flags = HMMU_ENTRY_REQ_FAULT };

	live_open_space();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, 0, SIZE_MAX,
					   HMMU_NOTIFIER_LAZY, &one_pass,
					   &seen[0], &range.notifier));
	HMMU_CHECK(!live_is_registered());
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range,
						HMMU_RANGE_DEFAULT_TIMEOUT_NS));
	HMMU_CHECK(live_is_registered());
	HMMU_CHECK_OK(syscall(SYS_munmap, p, PAGE));
	LIVE_CHECK_AFTER(&live_raw, calls(&seen[0]) >= 1);
	HMMU_CHECK(NEAR(&seen[0].last, p));
	end(range.notifier);
}

static void check_migrate_event(struct hmmu_device *owner, const char *p)
{
	HMMU_CHECK(calls(&seen[0]) >= 1);
	HMMU_CHECK_INT(seen[0].last.event, HMMU_EVENT_MIGRATE);
	/* A migration that had to begin again tells of what was left only. */
	HMMU_CHECK(seen[0].last.start < (uintptr_t)p + 8 * PAGE);
	HMMU_CHECK(seen[0].last.end > (uintptr_t)p);
	if (owner)
		HMMU_CHECK(seen[0].last.owner == owner);
}

/* What stays is told of, too: whoever maps it looks again. */
static void test_notifier_mv34_migration_of_what_stays(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_notifier *sub;
	struct hmmu_migrate_result r;

	live_open();
	sub = subscribe(&seen[0], p, 8 * PAGE);
	HMMU_CHECK_OK(mprotect(p, 8 * PAGE, PROT_READ));
	atomic_store_explicit(&seen[0].calls, 0, memory_order_release);
	r = live_migrate(live_device, p, 8 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PROTECTED], 8);
	check_migrate_event(live_device, p);
	hmmu_notifier_remove(sub);
	live_close();
}

static void test_notifier_in18_events_have_the_kernels_numbers(void)
{
	HMMU_CHECK_INT(HMMU_EVENT_UNMAP, 0);
	HMMU_CHECK_INT(HMMU_EVENT_CLEAR, 1);
	HMMU_CHECK_INT(HMMU_EVENT_PROTECTION_VMA, 2);
	HMMU_CHECK_INT(HMMU_EVENT_PROTECTION_PAGE, 3);
	HMMU_CHECK_INT(HMMU_EVENT_RELEASE, 5);
	HMMU_CHECK_INT(HMMU_EVENT_MIGRATE, 6);
	HMMU_CHECK_INT(HMMU_EVENT_EXCLUSIVE, 7);
}

/* And IN15, IN27. */
static void test_notifier_in25_migration_names_its_owner(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_notifier *sub;

	live_open();
	sub = subscribe(&seen[0], p, 8 * PAGE);
	live_take(p, 4 * PAGE);
	check_migrate_event(live_device, p);
	atomic_store_explicit(&seen[0].calls, 0, memory_order_release);
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p, 8 * PAGE,
					     NULL));
	check_migrate_event(NULL, p);
	live_take(p, 4 * PAGE);
	atomic_store_explicit(&seen[0].calls, 0, memory_order_release);
	LIVE_CHECK(p, 8 * PAGE, 1);
	check_migrate_event(NULL, p);
	hmmu_notifier_remove(sub);
	live_close();
}

static void test_notifier_in7_sequence_is_odd_and_steady(void)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);
	uint64_t seq = hmmu_notifier_read_begin(sub);

	HMMU_CHECK(seq & 1);
	HMMU_CHECK(!hmmu_notifier_read_retry(sub, seq));
	HMMU_CHECK(!hmmu_notifier_check_retry(sub, seq));
	HMMU_CHECK(hmmu_notifier_read_begin(sub) == seq);
	end(sub);
}

static void
test_notifier_in11_change_asks_for_a_retry(const struct live_way *way)
{
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);
	uint64_t seq = hmmu_notifier_read_begin(sub);

	HMMU_CHECK_OK(way->advise(p + 9 * PAGE, PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, hmmu_notifier_read_retry(sub, seq));
	HMMU_CHECK(hmmu_notifier_check_retry(sub, seq));
	/* It sets the sequence first, and then notes it. */
	LIVE_CHECK_AFTER(way, calls(&seen[0]) >= 1);
	/* And may be told twice. */
	pthread_mutex_lock(&recording);
	HMMU_CHECK(seen[0].cur_seq & 1);
	pthread_mutex_unlock(&recording);
	seq = hmmu_notifier_read_begin(sub);
	HMMU_CHECK(!hmmu_notifier_read_retry(sub, seq));
	end(sub);
}
BOTH_WAYS(test_notifier_in11_change_asks_for_a_retry)

/* One that looks and one that changes, for the tests that hold a callback. */
static struct {
	struct hmmu_notifier *sub;
	const struct live_way *way;
	char *p;
	_Atomic unsigned int began;
	_Atomic unsigned int ended;
	uint64_t seq;
} held;

static void *discard(void *arg)
{
	HMMU_CHECK_OK(held.way->advise(arg, PAGE, MADV_DONTNEED));
	return NULL;
}

static void *read_begin(void *arg)
{
	(void)arg;
	atomic_store_explicit(&held.began, 1, memory_order_release);
	held.seq = hmmu_notifier_read_begin(held.sub);
	atomic_store_explicit(&held.ended, 1, memory_order_release);
	return NULL;
}

static void let_go(struct seen *s)
{
	atomic_store_explicit(&s->waits, 0, memory_order_release);
	atomic_store_explicit(&s->go, 1, memory_order_release);
}

static void test_notifier_in8_read_begin_sleeps(const struct live_way *way)
{
	struct hmmu_notifier *sub = sub_of_middle(&held.p);
	pthread_t changer, reader;
	uint64_t seq = hmmu_notifier_read_begin(sub);

	held.sub = sub;
	held.way = way;
	atomic_store_explicit(&seen[0].waits, 1, memory_order_release);
	changer = live_thread(discard, held.p + 9 * PAGE);
	HMMU_CHECK(live_wait_for(&seen[0].calls, 1, 5000));
	/* IN12: reliable as soon as the callback has set the sequence. */
	HMMU_CHECK(hmmu_notifier_check_retry(sub, seq));
	reader = live_thread(read_begin, NULL);
	HMMU_CHECK(live_wait_for(&held.began, 1, 5000));
	HMMU_CHECK(!live_wait_for(&held.ended, 1, 100));
	let_go(&seen[0]);
	live_join(reader);
	live_join(changer);
	HMMU_CHECK(held.seq != seq);
	seq = hmmu_notifier_read_begin(sub);
	/* IN9: the value may be stale by the time it is returned. */
	for (int i = 0; i < 1000 && hmmu_notifier_read_retry(sub, seq); i++)
		seq = hmmu_notifier_read_begin(sub);
	HMMU_CHECK(!hmmu_notifier_read_retry(sub, seq));
	end(sub);
}
BOTH_WAYS(test_notifier_in8_read_begin_sleeps)

/* IN6: two invalidations run at the same time. */
static void test_notifier_in6_invalidations_are_parallel(void)
{
	pthread_t a, b;
	char *p;
	struct hmmu_notifier *sub = sub_of_middle(&p);

	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	held.way = &live_hooked;
	held.sub = sub;
	atomic_store_explicit(&seen[0].waits, 1, memory_order_release);
	a = live_thread(discard, p + 9 * PAGE);
	b = live_thread(discard, p + 10 * PAGE);
	HMMU_CHECK(live_wait_for(&seen[0].calls, 2, 5000));
	let_go(&seen[0]);
	live_join(a);
	live_join(b);
	held.seq = hmmu_notifier_read_begin(sub);
	HMMU_CHECK(!hmmu_notifier_read_retry(sub, held.seq));
	end(sub);
}

static _Atomic unsigned int removed;

static void *remove_it(void *arg)
{
	hmmu_notifier_remove(arg);
	atomic_store_explicit(&removed, 1, memory_order_release);
	return NULL;
}

static void test_notifier_in29_remove_waits(const struct live_way *way)
{
	struct hmmu_notifier *sub = sub_of_middle(&held.p);
	pthread_t changer, remover;
	unsigned int before;

	held.way = way;
	atomic_store_explicit(&seen[0].waits, 1, memory_order_release);
	changer = live_thread(discard, held.p + 9 * PAGE);
	HMMU_CHECK(live_wait_for(&seen[0].calls, 1, 5000));
	remover = live_thread(remove_it, sub);
	HMMU_CHECK(!live_wait_for(&removed, 1, 100));
	let_go(&seen[0]);
	live_join(remover);
	before = calls(&seen[0]);
	live_join(changer);
	/* No callback runs any more. */
	HMMU_CHECK_OK(way->unmap(held.p, 24 * PAGE));
	HMMU_CHECK_INT(calls(&seen[0]), before);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}
BOTH_WAYS(test_notifier_in29_remove_waits)

static struct hmmu_notifier *second;

static void *insert_second(void *arg)
{
	second = subscribe(&seen[1], arg, PAGE);
	atomic_store_explicit(&held.ended, 1, memory_order_release);
	return NULL;
}

/* IN3: inserted while an invalidation runs; read_begin waits it out. */
static void test_notifier_in3_insert_during_invalidation(void)
{
	pthread_t changer, inserter, reader;
	struct hmmu_notifier *sub = sub_of_middle(&held.p);

	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	held.way = &live_hooked;
	atomic_store_explicit(&seen[0].waits, 1, memory_order_release);
	changer = live_thread(discard, held.p + 9 * PAGE);
	HMMU_CHECK(live_wait_for(&seen[0].calls, 1, 5000));
	inserter = live_thread(insert_second, held.p + 9 * PAGE);
	if (live_wait_for(&held.ended, 1, 1000)) {
		atomic_store_explicit(&held.ended, 0, memory_order_release);
		held.sub = second;
		reader = live_thread(read_begin, NULL);
		HMMU_CHECK(!live_wait_for(&held.ended, 1, 100));
		let_go(&seen[0]);
		live_join(reader);
	}
	let_go(&seen[0]);
	live_join(inserter);
	live_join(changer);
	HMMU_CHECK_OK(madvise(held.p + 9 * PAGE, PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(&live_hooked, calls(&seen[1]) >= 1);
	hmmu_notifier_remove(second);
	end(sub);
}

static void
test_notifier_in30_overlapping_all_called(const struct live_way *way)
{
	struct hmmu_notifier *subs[4];
	char *p = live_map_small(16, 1);
	unsigned int i;

	live_open_space();
	subs[0] = subscribe(&seen[0], p, 16 * PAGE);
	subs[1] = subscribe(&seen[1], p + 3 * PAGE, 2 * PAGE);
	subs[2] = subscribe(&seen[2], p + 4 * PAGE + 100, 1);
	subs[3] = subscribe(&seen[3], p + 5 * PAGE, PAGE);
	HMMU_CHECK_OK(way->unmap(p + 4 * PAGE, PAGE));
	LIVE_CHECK_AFTER(way, calls(&seen[0]) == 1 && calls(&seen[1]) == 1 &&
				      calls(&seen[2]) == 1);
	HMMU_CHECK_INT(calls(&seen[3]), 0);
	for (i = 0; i < 4; i++)
		hmmu_notifier_remove(subs[i]);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}
BOTH_WAYS(test_notifier_in30_overlapping_all_called)

/* All first passes, then all second ones; without one nothing is called. */
static void test_notifier_in31_finish_comes_after_all(void)
{
	struct hmmu_notifier *subs[3];
	char *p = live_map_small(4, 1);
	unsigned int i;

	/* Memory that nobody has looked at is told by the hooks alone. */
	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	live_open_space();
	for (i = 0; i < 3; i++)
		HMMU_CHECK_OK(hmmu_notifier_insert(
			live_space, (uintptr_t)p, PAGE, HMMU_NOTIFIER_LAZY,
			i == 1 ? &one_pass : &two_pass, &seen[i], &subs[i]));
	HMMU_CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(&live_hooked, seen[0].finishes && seen[2].finishes);
	for (i = 0; i < 3; i++)
		HMMU_CHECK_INT(calls(&seen[i]), 1);
	HMMU_CHECK_INT(seen[0].finishes, 1);
	HMMU_CHECK_INT(seen[1].finishes, 0);
	HMMU_CHECK_INT(seen[2].finishes, 1);
	HMMU_CHECK_INT(seen[0].order + seen[1].order + seen[2].order, 3);
	HMMU_CHECK(seen[0].finish_order >= 3 && seen[2].finish_order >= 3);
	for (i = 0; i < 3; i++)
		hmmu_notifier_remove(subs[i]);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

/* The registration cache: many subscriptions, each told of its own. */
/* What a thread that ends unmaps, as a sanitizer does with its own data. */
static void unmap_late(void *p)
{
	HMMU_CHECK_OK(syscall(SYS_munmap, p, PAGE));
}

static pthread_key_t late;

static void mark_thread(struct hmmu_notifier *sub, void *arg,
			const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
	HMMU_CHECK_OK(pthread_setspecific(late, arg));
}

/*
 *   close                          service
 *   stop, join                     leaves its loop
 *                                  its thread's end unmaps watched memory,
 *                                  and waits for that event to be read
 *   waits for the thread           waits for the service: itself
 */
static void test_notifier_service_ends_by_unmapping(void)
{
	const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
					       .invalidate = mark_thread };
	char *p = live_map_small(8, 1);
	struct hmmu_notifier *sub;

	HMMU_CHECK_OK(pthread_key_create(&late, unmap_late));
	live_open();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, 8 * PAGE,
					   0, &ops, p + PAGE, &sub));
	live_take(p, PAGE);
	/* The service brings it home, and so runs the callback. */
	*(volatile char *)p = 1;
	hmmu_notifier_remove(sub);
	HMMU_CHECK(live_is_mapped(p + PAGE));
	live_close();
	HMMU_CHECK(!live_is_mapped(p + PAGE));
}

static void test_notifier_in13_many_small_subscriptions(void)
{
	enum {
		COUNT = 1000
	};
	static struct seen each[COUNT];
	static struct hmmu_notifier *subs[COUNT];
	char *p = live_map_small(COUNT, 1);
	unsigned int i;

	live_open_space();
	for (i = 0; i < COUNT; i++)
		subs[i] = subscribe(&each[i], p + i * PAGE, PAGE);
	for (i = 0; i < COUNT; i += 2)
		HMMU_CHECK_OK(munmap(p + i * PAGE, PAGE));
	for (i = 0; i < COUNT; i++) {
		if (i % 2 == 0)
			LIVE_CHECK_AFTER(&live_hooked, calls(&each[i]) >= 1);
		else
			HMMU_CHECK_INT(calls(&each[i]), 0);
		hmmu_notifier_remove(subs[i]);
	}
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

HMMU_TEST_MAIN(HMMU_TEST(test_notifier_in1_insert_errors),
	       HMMU_TEST(test_notifier_in2_not_in_a_child),
	       TEST_BOTH(test_notifier_in19_munmap),
	       TEST_BOTH(test_notifier_in19_mmap_over),
	       TEST_BOTH(test_notifier_in19_mremap_source),
	       TEST_BOTH(test_notifier_in19_mremap_target),
	       TEST_BOTH(test_notifier_in19_mremap_shrink),
	       TEST_BOTH(test_notifier_in20_madvise),
	       HMMU_TEST(test_notifier_in21_mprotect),
	       HMMU_TEST(test_notifier_in22_fork_tells_the_parent),
	       HMMU_TEST(test_notifier_e6_free_of_a_large_block),
	       TEST_BOTH(test_notifier_in1_neighbours_are_not_told),
	       HMMU_TEST(test_notifier_told_of_memory_mapped_later),
	       HMMU_TEST(test_notifier_lazy_watches_what_was_faulted),
	       HMMU_TEST(test_notifier_in25_migration_names_its_owner),
	       HMMU_TEST(test_notifier_mv34_migration_of_what_stays),
	       HMMU_TEST(test_notifier_in18_events_have_the_kernels_numbers),
	       HMMU_TEST(test_notifier_in7_sequence_is_odd_and_steady),
	       TEST_BOTH(test_notifier_in11_change_asks_for_a_retry),
	       TEST_BOTH(test_notifier_in8_read_begin_sleeps),
	       HMMU_TEST(test_notifier_in6_invalidations_are_parallel),
	       TEST_BOTH(test_notifier_in29_remove_waits),
	       HMMU_TEST(test_notifier_in3_insert_during_invalidation),
	       TEST_BOTH(test_notifier_in30_overlapping_all_called),
	       HMMU_TEST(test_notifier_in31_finish_comes_after_all),
	       HMMU_TEST(test_notifier_in13_many_small_subscriptions),
	       HMMU_TEST(test_notifier_service_ends_by_unmapping))
