/* SPDX-License-Identifier: MIT */
/*
 * Epochs: the asymmetric barrier, readers, grace periods, deferred functions
 *
 * Locking: the domain's mutex, taken inside. Retiring takes no lock.
 */
#include "base/epoch.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>

#include "base/sched.h"
#include "base/sys.h"

/* The asymmetric barrier -------------------------------------------------- */

enum membarrier_state {
	MEMBARRIER_UNKNOWN = 0,
	MEMBARRIER_WORKS,
	MEMBARRIER_MISSING,
};

static _Atomic int membarrier_state;

_Atomic bool hmmu__fast_fence = true;

static bool membarrier_is_forbidden(void)
{
	const char *value = getenv("HMMU_FORCE_NO_MEMBARRIER");

	return value && value[0] != '\0' && value[0] != '0';
}

/* A process must register before its first expedited membarrier. */
static bool membarrier_register(void)
{
	int commands = hmmu__sched_membarrier(MEMBARRIER_CMD_QUERY);

	if (commands < 0 || !(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		return false;
	return hmmu__sched_membarrier(
		       MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

static int membarrier_decide(void)
{
	int expected = MEMBARRIER_UNKNOWN;
	int state = !membarrier_is_forbidden() && membarrier_register() ?
			    MEMBARRIER_WORKS :
			    MEMBARRIER_MISSING;

	/* The first thread's decision counts. Acquire: see its result. */
	if (!atomic_compare_exchange_strong_explicit(
		    &membarrier_state, &expected, state, memory_order_acq_rel,
		    memory_order_acquire))
		return expected;
	/*
	 * Relaxed: from now on all slow sides use membarrier(2), so a fast side
	 * may stop executing its fence at any time.
	 */
	if (state == MEMBARRIER_WORKS)
		atomic_store_explicit(&hmmu__fast_fence, false,
				      memory_order_relaxed);
	return state;
}

bool hmmu__membarrier_available(void)
{
	int state =
		atomic_load_explicit(&membarrier_state, memory_order_acquire);

	if (hmmu_unlikely(state == MEMBARRIER_UNKNOWN))
		state = membarrier_decide();
	return state == MEMBARRIER_WORKS;
}

static int membarrier_expedited(void)
{
	return hmmu__sched_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

void hmmu__membarrier(void)
{
	if (!hmmu__membarrier_available()) {
		hmmu__sched_fence();
		return;
	}
	if (hmmu_likely(membarrier_expedited() == 0))
		return;
	/* The registration belongs to the mm: a new mm registers again. */
	if (membarrier_register() && membarrier_expedited() == 0)
		return;
	/*
	 * A seccomp filter now forbids it. The fast sides execute no fences:
	 * to continue would corrupt memory.
	 */
	hmmu__assert_failed("membarrier(2) keeps working", __FILE__, __LINE__);
}

/* Readers ----------------------------------------------------------------- */

void hmmu__epoch_domain_init(struct hmmu_epoch_domain *domain)
{
	*domain = (struct hmmu_epoch_domain){ .epoch = 1 };
	hmmu__mutex_init(&domain->lock, HMMU_RANK_EPOCH, "epoch");
}

void hmmu__epoch_domain_fini(struct hmmu_epoch_domain *domain)
{
	hmmu__epoch_drain(domain);
	HMMU_ASSERT(!domain->readers);
	hmmu__mutex_fini(&domain->lock);
}

void hmmu__epoch_reader_add(struct hmmu_epoch_domain *domain,
			    struct hmmu_epoch_reader *reader)
{
	/* Decide here: a system call would slow down the first section. */
	(void)hmmu__membarrier_available();
	/* Relaxed: no thread scans it before it is listed below. */
	atomic_store_explicit(&reader->active, 0, memory_order_relaxed);
	reader->prev = NULL;
	hmmu__mutex_lock(&domain->lock);
	reader->next = domain->readers;
	if (reader->next)
		reader->next->prev = reader;
	domain->readers = reader;
	hmmu__mutex_unlock(&domain->lock);
}

void hmmu__epoch_reader_remove(struct hmmu_epoch_domain *domain,
			       struct hmmu_epoch_reader *reader)
{
	HMMU_ASSERT(!hmmu__epoch_is_inside(reader));
	hmmu__mutex_lock(&domain->lock);
	if (reader->prev)
		reader->prev->next = reader->next;
	else
		domain->readers = reader->next;
	if (reader->next)
		reader->next->prev = reader->prev;
	hmmu__mutex_unlock(&domain->lock);
	reader->prev = NULL;
	reader->next = NULL;
}

/* Grace periods ----------------------------------------------------------- */

/*
 * Begin a grace period; returns the epoch that readers must reach. The
 * increment is a release for the stores that unpublish; it pairs with the
 * acquire load of hmmu__epoch_enter(). The barrier is the updater's in the race
 * of epoch.h.
 */
static uint64_t grace_begin(struct hmmu_epoch_domain *domain)
{
	uint64_t before = atomic_fetch_add_explicit(&domain->epoch, 1,
						    memory_order_acq_rel);

	hmmu__membarrier();
	return before + 1;
}

/* True if all sections that began before epoch @target have ended. */
static bool grace_is_over_locked(struct hmmu_epoch_domain *domain,
				 uint64_t target) HMMU_REQUIRES(&domain->lock)
{
	struct hmmu_epoch_reader *reader;

	hmmu__mutex_assert_held(&domain->lock);
	for (reader = domain->readers; reader; reader = reader->next) {
		/* Acquire: pairs with the release stores of enter and exit. */
		uint64_t active = atomic_load_explicit(&reader->active,
						       memory_order_acquire);

		if (active != 0 && active < target)
			return false;
	}
	return true;
}

static bool grace_is_over(struct hmmu_epoch_domain *domain, uint64_t target)
{
	bool over;

	hmmu__mutex_lock(&domain->lock);
	over = grace_is_over_locked(domain, target);
	hmmu__mutex_unlock(&domain->lock);
	return over;
}

int hmmu__epoch_synchronize_timed(struct hmmu_epoch_domain *domain,
				  uint64_t timeout_ns)
{
	uint64_t target = grace_begin(domain);
	uint64_t start_ns = 0;
	unsigned int round = 0;

	while (!grace_is_over(domain, target)) {
		if (timeout_ns != HMMU_FOREVER) {
			uint64_t now_ns = hmmu__sched_now_ns();

			if (start_ns == 0)
				start_ns = now_ns;
			if (now_ns - start_ns >= timeout_ns)
				return -ETIMEDOUT;
		}
		hmmu__backoff(&round);
	}
	return 0;
}

void hmmu__epoch_synchronize(struct hmmu_epoch_domain *domain)
{
	int ret = hmmu__epoch_synchronize_timed(domain, HMMU_FOREVER);

	HMMU_ASSERT(ret == 0);
	(void)ret;
}

/* Deferred functions ------------------------------------------------------ */

void hmmu__epoch_retire(struct hmmu_epoch_domain *domain,
			struct hmmu_epoch_item *item,
			void (*fn)(struct hmmu_epoch_item *item))
{
	struct hmmu_epoch_item *head;

	item->fn = fn;
	/* Relaxed: only a count; the push below publishes the item. */
	atomic_fetch_add_explicit(&domain->pending, 1, memory_order_relaxed);
	head = atomic_load_explicit(&domain->incoming, memory_order_relaxed);
	do {
		item->next = head;
		/*
		 * Release: publishes the item and the caller's unpublishing;
		 * pairs with the exchange in incoming_take(). No ABA: that
		 * takes all items at once, never one.
		 */
	} while (!atomic_compare_exchange_weak_explicit(
		&domain->incoming, &head, item, memory_order_release,
		memory_order_relaxed));
}

static struct hmmu_epoch_item *incoming_take(struct hmmu_epoch_domain *domain)
{
	/* Relaxed: mostly there is none. */
	if (!atomic_load_explicit(&domain->incoming, memory_order_relaxed))
		return NULL;
	/* Acquire: pairs with the push of hmmu__epoch_retire(). */
	return atomic_exchange_explicit(&domain->incoming, NULL,
					memory_order_acquire);
}

static void list_append(struct hmmu_epoch_item **list,
			struct hmmu_epoch_item *tail)
{
	while (*list)
		list = &(*list)->next;
	*list = tail;
}

static struct hmmu_epoch_item *
waiting_take_locked(struct hmmu_epoch_domain *domain)
	HMMU_REQUIRES(&domain->lock)
{
	struct hmmu_epoch_item *due = domain->waiting;

	hmmu__mutex_assert_held(&domain->lock);
	if (!due || !grace_is_over_locked(domain, domain->target))
		return NULL;
	domain->waiting = NULL;
	return due;
}

/*
 * Return the batch whose grace period is over. If no batch is waiting then, the
 * items retired since become the next batch. Often no reader is in a section,
 * and that batch is due at once.
 */
static struct hmmu_epoch_item *due_take_locked(struct hmmu_epoch_domain *domain)
	HMMU_REQUIRES(&domain->lock)
{
	struct hmmu_epoch_item *due = waiting_take_locked(domain);

	hmmu__mutex_assert_held(&domain->lock);
	if (domain->waiting)
		return due;
	domain->waiting = incoming_take(domain);
	if (!domain->waiting)
		return due;
	domain->target = grace_begin(domain);
	list_append(&due, waiting_take_locked(domain));
	return due;
}

static size_t run_items(struct hmmu_epoch_domain *domain,
			struct hmmu_epoch_item *item)
{
	struct hmmu_epoch_item *next;
	size_t count = 0;

	for (; item; item = next) {
		next = item->next;
		item->fn(item);
		/* Release: fn is over; pairs with hmmu__epoch_drain(). */
		atomic_fetch_sub_explicit(&domain->pending, 1,
					  memory_order_release);
		count++;
	}
	return count;
}

size_t hmmu__epoch_poll(struct hmmu_epoch_domain *domain)
{
	struct hmmu_epoch_item *due;

	/* Relaxed: an item retired meanwhile may wait for the next poll. */
	if (atomic_load_explicit(&domain->pending, memory_order_relaxed) == 0)
		return 0;
	/* Another thread polls or updates the readers. */
	if (!hmmu__mutex_trylock(&domain->lock))
		return 0;
	due = due_take_locked(domain);
	hmmu__mutex_unlock(&domain->lock);
	return run_items(domain, due);
}

void hmmu__epoch_drain(struct hmmu_epoch_domain *domain)
{
	unsigned int round = 0;

	/* Acquire: pairs with run_items(), maybe in another thread. */
	while (atomic_load_explicit(&domain->pending, memory_order_acquire)) {
		if (hmmu__epoch_poll(domain) == 0)
			hmmu__backoff(&round);
		else
			round = 0;
	}
}
