/* SPDX-License-Identifier: MIT */
/*
 * Migration by copying, where the kernel has no UFFDIO_MOVE.
 *
 * A page must be out of the CPU's reach before it is copied. mremap() with
 * MREMAP_DONTUNMAP does that for a range as a whole and at once: its pages turn
 * up at an alias of ours, and who touches the range from then on waits for the
 * service. The alias is copied to the device's memory and given up.
 *
 * The kernel tells of that mremap as of any other, and its caller waits until
 * the event is read - by the service, which may be waiting for locks that the
 * taker holds. So another thread, the copier, makes the call, and the taker
 * reads, for the lock of the events is his:
 *
 *      taker                    copier                   service
 *      stops all sections
 *      events lock (exclusive),
 *        block locks                                     waits for a block
 *      hands the range over     mremap()
 *      reads until that event     waits for the read
 *        comes                  done
 *      copies
 *      unlocks                                           goes on
 *
 * What else he reads is applied when he has let go of the blocks. It is of
 * changes that began after the copier looked: while one is under way, what
 * stands in the range may be something else, and is not touched. And he reads
 * nothing before the copier has made its call, for what he reads lets others go
 * on:
 *
 *      taker                    copier                   program
 *      hands the range over     looks: no change
 *                                                        munmap(the range)
 *      reads that                                        mmap(the range)
 *                               mremap(): takes it
 *
 * Forbidden: the program finds zeroes in what it has just mapped.
 *
 * Between the copier's look and its call a change may begin all the same, and
 * what is read later does not say which of the two was first. So before the look
 * each page of the range is stamped: write-protected by userfaultfd, which is
 * refused while a mapping is changing. The stamp goes where the page goes:
 *
 *      taker                    copier                   program
 *      stamps the range
 *                               looks: no change
 *                                                        mremap(other to it)
 *                               mremap(): takes that
 *      finds pages without
 *        stamps, puts them back
 *      reads: the range was
 *        unmapped
 *
 * Required: they are back before anything is read, for so long their owner is in
 * his call, and nobody else knows of them. What the taker has of them goes with
 * what stood there. And the other way:
 *
 *                                                        mremap(it to other,
 *                                                          DONTUNMAP)
 *                               mremap(): takes nothing
 *      records zeroes
 *      reads: it moved to other
 *
 * Forbidden: the zeroes follow. Where a page is present and zeroes of the device
 * are to follow, they are dropped. Only zeroes: who is present there may be somebody
 * who came since. Of zeroes nothing is lost.
 *
 * How stamps are given and taken away: see stamps.c. They need a registration of
 * their own: see watch.c.
 *
 * Not supported: seeing that a page is pinned (E11). What is written to such a
 * page through the pin after it was copied is lost. So the program must allow
 * this, and as long as the process has long-term pins nothing is copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/arena.h"
#include "base/thread.h"
#include "live/copy.h"
#include "live/live.h"

#define STACK_BYTES (128ul << 10)
/* One batch of a migration, wherever it begins in a large page. */
#define ALIAS_BYTES (33 * HMMU_LARGE_BYTES)
#define RUNS	    HMMU_COPY_RUNS
#define CONTENT	    HMMU_COPY_CONTENT

/* --- the copier ---------------------------------------------------------------- */

/*
 * Without an event the range was unmapped and mapped anew just then, and what
 * came along is somebody else's, who is not registered: back with it, at once,
 * for he does not stop at what is missing.
 */
static long move(const struct hmmu_copier *c)
{
	long err;

	if (hmmu__uffd_is_changing(c->live))
		return -EAGAIN;
	err = hmmu__copy_remap(c->from, c->to, c->bytes);
	/* Acquire: pairs with the taker's, who reads the event after that. */
	if (hmmu__sys_is_error(err) ||
	    atomic_load_explicit(&c->is_told_of, memory_order_acquire))
		return err;
	(void)hmmu__copy_remap(c->to, c->from, c->bytes);
	return -EAGAIN;
}

/* Its pages come as they are touched. */
static long lock(const struct hmmu_copier *c)
{
	return hmmu__syscall(SYS_mlock2, (long)c->from, (long)c->bytes,
			     MLOCK_ONFAULT, 0, 0, 0);
}

static void *copier_main(void *arg)
{
	struct hmmu_copier *c = arg;
	uint32_t served = 0, wanted;

	atomic_store_explicit(&c->tid, hmmu__sys_gettid(),
			      memory_order_release);

	for (;;) {
		/* Acquire: pairs with the release of ask(). */
		wanted = atomic_load_explicit(&c->wanted, memory_order_acquire);
		if (wanted == served) {
			(void)hmmu__futex_wait(&c->wanted, served,
					       HMMU_FOREVER);
			continue;
		}
		if (c->job == HMMU_COPIER_END)
			return NULL;
		c->result = c->job == HMMU_COPIER_MOVE ? move(c) : lock(c);
		served = wanted;
		/* Release: the result is there. */
		atomic_store_explicit(&c->done, served, memory_order_release);
		(void)hmmu__futex_wake(&c->done, 1);
	}
}

static bool is_done(const struct hmmu_copier *c, uint32_t turn)
{
	/* Acquire: pairs with the copier's release. */
	return atomic_load_explicit(&c->done, memory_order_acquire) == turn;
}

/* The latest. Relaxed: only who holds the events lock exclusively writes it. */
static uint32_t turn_of(const struct hmmu_copier *c)
{
	return atomic_load_explicit(&c->wanted, memory_order_relaxed);
}

/* Hands over a range, or the end, when the turn before is done. */
static uint32_t ask(struct hmmu_copier *c, enum hmmu_copier_job job,
		    uintptr_t from, uintptr_t to, size_t bytes)
{
	uint32_t turn = turn_of(c) + 1;

	HMMU_ASSERT(is_done(c, turn - 1));
	c->job = job;
	c->from = from;
	c->to = to;
	c->bytes = bytes;
	/* Release: pairs with the copier's load. */
	atomic_store_explicit(&c->wanted, turn, memory_order_release);
	(void)hmmu__futex_wake(&c->wanted, 1);
	return turn;
}

/* So long it may take to fall asleep. */
#define ASLEEP_NS 100000000ull

/* It sleeps, until it is asked: does the kernel say so? */
static bool is_visible(struct hmmu_copier *c)
{
	uint64_t begun = hmmu__sys_clock_ns();
	unsigned int round = 0;
	int tid;

	while (hmmu__sys_clock_ns() - begun < ASLEEP_NS) {
		tid = atomic_load_explicit(&c->tid, memory_order_acquire);
		if (tid && hmmu__live_sleep(tid) != HMMU_SLEEP_UNKNOWN)
			return true;
		hmmu__backoff(&round);
	}
	return false;
}

int hmmu__copier_start(struct hmmu_live *l)
{
	struct hmmu_copier *c = &l->copier;
	pthread_attr_t attr;
	int err;

	c->live = l;
	c->stack = hmmu__arena_reserve(STACK_BYTES, HMMU_PAGE_BYTES);
	c->alias = hmmu__arena_reserve(ALIAS_BYTES, HMMU_LARGE_BYTES);
	if (!c->stack || !c->alias)
		return -ENOMEM;
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setstack(&attr, c->stack, STACK_BYTES);
	if (!err)
		err = pthread_create(&c->thread, &attr, copier_main, c);
	(void)pthread_attr_destroy(&attr);
	c->is_running = !err;
	if (!err)
		(void)pthread_setname_np(c->thread, "hmmu-copier");
	c->is_visible = !err && is_visible(c);
	if (!err)
		hmmu__stamps_start(l);
	return -err;
}

void hmmu__copier_stop(struct hmmu_live *l)
{
	struct hmmu_copier *c = &l->copier;

	hmmu__stamps_stop(l);
	if (c->is_running) {
		/* A lock may still be looking at the pages. */
		while (!is_done(c, turn_of(c)))
			(void)hmmu__futex_wait(&c->done, turn_of(c) - 1,
					       HMMU_FOREVER);
		(void)ask(c, HMMU_COPIER_END, 0, 0, 0);
		(void)pthread_join(c->thread, NULL);
		c->is_running = false;
	}
	if (c->stack)
		hmmu__arena_release(c->stack, STACK_BYTES);
	if (c->alias)
		hmmu__arena_release(c->alias, ALIAS_BYTES);
	c->stack = NULL;
	c->alias = NULL;
}

/* --- out ----------------------------------------------------------------------- */

/* How long the taker sleeps when there was nothing to read. */
#define LOOK_NS 20000ull

static bool is_own_event(const struct hmmu_copier *c,
			 const struct uffd_msg *msg)
{
	return msg->event == UFFD_EVENT_REMAP &&
	       msg->arg.remap.from == c->from && msg->arg.remap.to == c->to;
}

/* It has made its call, and waits for the event to be read; or may have. */
static bool told_of(struct hmmu_copier *c)
{
	if (atomic_load_explicit(&c->is_told_of, memory_order_relaxed))
		return true;
	if (hmmu__live_sleep(atomic_load_explicit(
		    &c->tid, memory_order_relaxed)) != HMMU_SLEEP_FOR_EVENT)
		return false;
	/* Release: before what is read lets it go on. */
	atomic_store_explicit(&c->is_told_of, true, memory_order_release);
	return true;
}

/* --- what follows a mapping ---------------------------------------------------- */

/* Absent, or a part of a large page of which something else was written. */
static bool is_zero(void *live, void *host)
{
	const uint64_t *word = host;
	size_t i;

	if (hmmu__is_absent(live, (uintptr_t)host,
			    (uintptr_t)host + HMMU_PAGE_BYTES))
		return true;
	for (i = 0; i < HMMU_PAGE_BYTES / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

void hmmu__copy_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		      size_t bytes)
{
	struct hmmu__page_run runs[RUNS];
	uintptr_t at = to, next, stamped = to;
	size_t n, i;

	for (; at < to + bytes; at = next) {
		/* Unknown: there may be some. */
		if (hmmu__pagescan(&l->pages, at, to + bytes,
				   CONTENT | HMMU__PAGE_WP, runs, RUNS, &n,
				   &next)) {
			stamped = to + bytes;
			break;
		}
		for (i = 0; i < n; i++) {
			hmmu__core_drop_if(l->mm.space,
					   from + (runs[i].start - to),
					   from + (runs[i].end - to), is_zero,
					   l);
			if (runs[i].flags & HMMU__PAGE_WP)
				stamped = runs[i].end;
		}
	}
	if (stamped > to)
		hmmu__unstamp(l, to, stamped);
}

/* --- out: the range ------------------------------------------------------------ */

/* Moves the pages of [start, start + bytes) to @alias. */
static int isolate(struct hmmu_live *l, uintptr_t start, uintptr_t alias,
		   size_t bytes, void *host)
{
	struct hmmu_copier *c = &l->copier;
	bool told = false, looked = !hmmu__live_stamps(l);
	struct uffd_msg msg;
	uint32_t turn;

	/* It still locks: see lock_again(). */
	if (!is_done(c, turn_of(c)))
		return -EAGAIN;
	atomic_store_explicit(&c->is_told_of, !c->is_visible,
			      memory_order_relaxed);
	turn = ask(c, HMMU_COPIER_MOVE, start, alias, bytes);
	while (!is_done(c, turn)) {
		if (!told_of(c)) {
			(void)hmmu__futex_wait(&c->done, turn - 1, LOOK_NS);
			continue;
		}
		if (!looked && c->is_visible)
			hmmu__landed_put_back(l, start, alias, bytes, host);
		looked = true;
		if (!hmmu__message_read(l, &msg))
			(void)hmmu__futex_wait(&c->done, turn - 1, LOOK_NS);
		else if (is_own_event(c, &msg))
			told = true;
		else
			hmmu__message_put_aside(l, &msg);
	}
	if (hmmu__sys_is_error(c->result))
		return (int)c->result;
	if (told)
		return 0;
	/* Where nobody knew what the copier waits for: see move(). */
	(void)hmmu__copy_remap(alias, start, bytes);
	return -EAGAIN;
}

/*
 * Copies what is present at @alias to @host; the rest stays absent there. Where
 * that can not be known all is copied: absent pages read as zeroes.
 */
static void copy_present(const struct hmmu_live *l, uintptr_t alias, void *host,
			 size_t bytes)
{
	struct hmmu__page_run runs[RUNS];
	uintptr_t at = alias, next;
	size_t n, i;

	for (; at < alias + bytes; at = next) {
		if (hmmu__pagescan(&l->pages, at, alias + bytes, CONTENT, runs,
				   RUNS, &n, &next)) {
			runs[0] =
				(struct hmmu__page_run){ .start = at,
							 .end = alias + bytes };
			n = 1;
			next = alias + bytes;
		}
		for (i = 0; i < n; i++)
			if (!(runs[i].flags & HMMU__PAGE_GUARD))
				memcpy((uint8_t *)host +
					       (runs[i].start - alias),
				       (const void *)runs[i].start,
				       runs[i].end - runs[i].start);
	}
}

/* The kB of one line of /proc/self/status; 1 when it can not be known. */
static unsigned long status_kb(const char *line)
{
	int fd = hmmu__sys_open("/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	unsigned long kb = 0;
	char text[4096];
	const char *p;
	ssize_t n;

	if (fd < 0)
		return 1;
	n = hmmu__sys_read(fd, text, sizeof(text) - 1);
	hmmu__sys_close(fd);
	if (n <= 0)
		return 1;
	text[n] = '\0';
	p = strstr(text, line);
	if (!p)
		return 1;
	for (p += strlen(line); *p == ' ' || *p == '\t'; p++)
		;
	for (; *p >= '0' && *p <= '9'; p++)
		kb = kb * 10 + (unsigned long)(*p - '0');
	return kb;
}

static bool must_stay(const struct hmmu_mm_take *t, enum hmmu_stay *why)
{
	*why = HMMU_STAY_PINNED;
	if (status_kb("VmPin:"))
		return true;
	*why = HMMU_STAY_LOCKED;
	return hmmu__live_is_locked(t->start, HMMU_PAGE_BYTES);
}

/* Large pages that will be large on the device too. */
static size_t large_whole(const struct hmmu_live *l, uintptr_t alias,
			  uintptr_t host, size_t bytes)
{
	if (alias % HMMU_LARGE_BYTES || host % HMMU_LARGE_BYTES)
		return 0;
	return hmmu__large_pages(l, alias,
				 alias + (bytes & ~(HMMU_LARGE_BYTES - 1)));
}

/* So long the taker waits until it is locked again. */
#define LOCKED_NS 1000000ull

/*
 * The program has locked it just then, and MREMAP_DONTUNMAP takes the lock along
 * to the alias:
 *
 *      taker                    copier                   program
 *      is it locked? no
 *                                                        mlock(the range)
 *                               mremap(): not locked any more
 *      is the alias locked?     mlock2(ONFAULT)
 *        yes
 *
 * The copier makes that call, too, for it may touch the pages, which are away:
 *
 *                               mlock2(): locked
 *                                                        munlock(), mlock()
 *                                 looks: not on fault,
 *                                 touches the pages,
 *                                 waits for the service
 *      lets go of the locks                              (service serves that)
 *
 * Its first step is what counts, and that waits for nobody. Not seen: an
 * munlock() before it. The range stays locked then.
 */
static void lock_again(struct hmmu_copier *c, uintptr_t start, uintptr_t alias,
		       size_t bytes)
{
	uint32_t turn;

	if (!hmmu__live_is_locked(alias, bytes))
		return;
	turn = ask(c, HMMU_COPIER_LOCK, start, 0, bytes);
	if (!is_done(c, turn))
		(void)hmmu__futex_wait(&c->done, turn - 1, LOCKED_NS);
}

static int take_isolated(struct hmmu_live *l, struct hmmu_mm_take *t)
{
	uintptr_t alias =
		(uintptr_t)l->copier.alias + t->start % HMMU_LARGE_BYTES;
	int err = hmmu__stamp(l, t->start, t->start + t->bytes);

	if (!err)
		err = isolate(l, t->start, alias, t->bytes, t->host);
	if (err) {
		hmmu__alias_drop(alias, t->bytes);
		hmmu__unstamp(l, t->start, t->start + t->bytes);
		return err == -ENOMEM ? err : -EAGAIN;
	}
	lock_again(&l->copier, t->start, alias, t->bytes);
	/* A raw mprotect() of the range may have come between. */
	(void)hmmu__sys_mprotect(alias, t->bytes, PROT_READ);
	t->large = large_whole(l, alias, (uintptr_t)t->host, t->bytes);
	/* Its absent pages are nobody's to wait for. */
	(void)hmmu__uffd_unregister(l, alias, alias + t->bytes);
	copy_present(l, alias, t->host, t->bytes);
	hmmu__alias_drop(alias, t->bytes);
	t->done_bytes = t->bytes;
	return 0;
}

/*
 * The first pages that are neither present nor absent. A guard would be lost at
 * the alias (RF24). What else there is may be poison, which must not be read
 * here, or a page in swap, which can not be told from it: it is made present
 * where nothing is held, as a page that is shared after a fork.
 */
static bool find_marked(const struct hmmu_live *l, const struct hmmu_mm_take *t,
			struct hmmu__page_run *marked)
{
	uintptr_t at = t->start, end = t->start + t->bytes, next;
	struct hmmu__page_run runs[RUNS];
	size_t n, i;

	for (; at < end; at = next) {
		if (hmmu__pagescan(&l->pages, at, end, CONTENT, runs, RUNS, &n,
				   &next))
			return false;
		for (i = 0; i < n; i++) {
			*marked = runs[i];
			if (!(marked->flags & HMMU__PAGE_PRESENT))
				return true;
		}
	}
	return false;
}

int hmmu__copy_take(struct hmmu_live *l, struct hmmu_mm_take *t)
{
	struct hmmu__page_run marked;

	hmmu__rw_assert_write_held(&l->events);
	if (must_stay(t, &t->why)) {
		t->stay_bytes = t->bytes;
		return -EBUSY;
	}
	/* A page with an old stamp would be taken for one of the range. */
	if (hmmu__unstamp_left(l))
		return -EAGAIN;
	if (!find_marked(l, t, &marked))
		return take_isolated(l, t);
	if (marked.start > t->start) {
		t->bytes = marked.start - t->start;
		return take_isolated(l, t);
	}
	t->stay_bytes = marked.end - marked.start;
	t->why = marked.flags & HMMU__PAGE_GUARD ? HMMU_STAY_PROTECTED :
						   HMMU_STAY_SHARED;
	return -EBUSY;
}

/* --- home ---------------------------------------------------------------------- */

/* The next present run of the device's pages; *@any is false if there is none. */
static int next_run(const struct hmmu_live *l, const struct hmmu_mm_put *p,
		    struct hmmu__page_run *run, bool *any)
{
	uintptr_t at = (uintptr_t)p->host + p->done_bytes;
	uintptr_t end = (uintptr_t)p->host + p->bytes, next;
	size_t n = 0;
	int err = 0;

	for (; at < end && !n && !err; at = next)
		err = hmmu__pagescan(&l->pages, at, end,
				     HMMU__PAGE_PRESENT | HMMU__PAGE_SWAPPED,
				     run, 1, &n, &next);
	*any = !err && n;
	return err;
}

/* One call for at most @bytes; what it did counts also when it failed. */
static int copy_some(struct hmmu_live *l, struct hmmu_mm_put *p, size_t bytes)
{
	uintptr_t at = p->start + p->done_bytes;
	struct uffdio_copy c = { .dst = at,
				 .src = (uintptr_t)p->host + p->done_bytes,
				 .len = bytes };
	struct hmmu_vma_info vma;
	int err;

	/* A copy must lie in one mapping. */
	if (!hmmu__live_describe(&l->mm, at, &vma) && vma.end - at < bytes)
		c.len = vma.end - at;
	err = hmmu__sys_ioctl(hmmu__uffd(l), UFFDIO_COPY, &c);
	if (c.copy > 0) {
		p->done_bytes += (size_t)c.copy;
		p->copied += (size_t)c.copy >> HMMU_PAGE_LG2;
		return 0;
	}
	/* It is there already; what the device has of it is old. */
	if (err == -EEXIST) {
		p->done_bytes += HMMU_PAGE_BYTES;
		return 0;
	}
	if (err == -EAGAIN || err == -ENOMEM)
		return err;
	return hmmu__live_gone(l, at);
}

int hmmu__copy_put(struct hmmu_live *l, struct hmmu_mm_put *p)
{
	struct hmmu__page_run run;
	bool any;
	int err = 0;

	p->unmoved = true;
	while (!err && p->done_bytes < p->bytes) {
		uintptr_t at = (uintptr_t)p->host + p->done_bytes;

		err = next_run(l, p, &run, &any);
		if (err)
			break;
		if (!any)
			p->done_bytes = p->bytes;
		else if (run.start > at)
			p->done_bytes += run.start - at;
		else
			err = copy_some(l, p, run.end - at);
	}
	if (p->done_bytes)
		(void)hmmu__live_empty(&l->mm, p->host, p->done_bytes);
	return err;
}
