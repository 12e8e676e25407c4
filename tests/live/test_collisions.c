/* SPDX-License-Identifier: MIT */
/*
 * What is mapped for a device while its memory is about to change (IN10, IN14).
 */
#include <sys/mman.h>

#include "gate.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

static char *p;
static const struct live_way *way;

static void *discard(void *arg)
{
	HMMU_CHECK_OK(way->advise(p, 4 * PAGE, MADV_DONTNEED));
	return arg;
}

/* A driver that is held up in its callback, before it stores and after. */
static struct {
	struct hmmu_notifier *sub;
	pthread_mutex_t lock;
	uint64_t stored;
	bool maps;
	_Atomic unsigned int came;
	_Atomic unsigned int may_store;
	_Atomic unsigned int has_stored;
	_Atomic unsigned int may_return;
} driver = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void obey(struct hmmu_notifier *sub, void *arg,
		 const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	live_set(&driver.came, 1);
	HMMU_CHECK(live_wait_for(&driver.may_store, 1, LIVE_SOON_MS));
	pthread_mutex_lock(&driver.lock);
	hmmu_notifier_set_seq(sub, cur_seq);
	driver.stored = cur_seq;
	driver.maps = false;
	pthread_mutex_unlock(&driver.lock);
	live_set(&driver.has_stored, 1);
	HMMU_CHECK(live_wait_for(&driver.may_return, 1, LIVE_SOON_MS));
}

/* As a driver does it; false: begin again. */
static bool driver_maps(uint64_t seq)
{
	pthread_mutex_lock(&driver.lock);
	driver.maps = !hmmu_notifier_read_retry(driver.sub, seq);
	if (driver.maps)
		HMMU_CHECK(driver.stored == 0 || seq == driver.stored);
	pthread_mutex_unlock(&driver.lock);
	return driver.maps;
}

/*
 * It is the number stored under the driver's lock that decides: what was mapped
 * before it the callback takes away, and after it nothing is.
 */
static void test_collisions_in10_number_is_stored_under_the_lock(void)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = obey };
	pthread_t thread;
	uint64_t seq;

	way = &live_hooked;
	p = live_map_small(PAGES, 1);
	live_open_space();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &driver.sub));
	seq = hmmu_notifier_read_begin(driver.sub);
	thread = live_thread(discard, NULL);
	HMMU_CHECK(live_wait_for(&driver.came, 1, LIVE_SOON_MS));
	HMMU_CHECK(driver_maps(seq));
	live_set(&driver.may_store, 1);
	HMMU_CHECK(live_wait_for(&driver.has_stored, 1, LIVE_SOON_MS));
	HMMU_CHECK(!driver.maps);
	HMMU_CHECK(!driver_maps(seq));
	live_set(&driver.may_return, 1);
	live_join(thread);
	do {
		seq = hmmu_notifier_read_begin(driver.sub);
	} while (!driver_maps(seq));
	hmmu_notifier_remove(driver.sub);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static struct {
	int err;
	_Atomic unsigned int done;
} faulted;

static void *device_fault(void *arg)
{
	faulted.err = hmmu_device_fault(live_device, (uintptr_t)p, PAGE,
					HMMU_ACCESS_READ);
	live_set(&faulted.done, 1);
	return arg;
}

static void store(struct hmmu_notifier *sub, void *arg,
		  const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

/* Comes after the device's own, which begins at a lower address. */
static void hold(struct hmmu_notifier *sub, void *arg,
		 const struct hmmu_invalidation *inv)
{
	(void)sub;
	(void)arg;
	(void)inv;
	live_set(&driver.came, 1);
	HMMU_CHECK(live_wait_for(&driver.may_return, 1, LIVE_SOON_MS));
}

/* All have been told, and the change is still to come. */
static void
test_collisions_in14_nothing_is_mapped_meanwhile(const struct live_way *by)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = store,
						      .finish = hold };
	pthread_t threads[2];
	struct hmmu_port *port;

	way = by;
	p = live_map_small(PAGES, 1);
	live_open();
	port = live_port();
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &driver.sub));
	threads[0] = live_thread(discard, NULL);
	HMMU_CHECK(live_wait_for(&driver.came, 1, LIVE_SOON_MS));
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	threads[1] = live_thread(device_fault, NULL);
	HMMU_CHECK(!live_wait_for(&faulted.done, 1, 100));
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	live_set(&driver.may_return, 1);
	live_join(threads[0]);
	live_join(threads[1]);
	HMMU_CHECK_OK(faulted.err);
	HMMU_CHECK_INT(live_load(port, p), 0);
	hmmu_notifier_remove(driver.sub);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_collisions_in14_nothing_is_mapped_meanwhile)

HMMU_TEST_MAIN(HMMU_TEST(test_collisions_in10_number_is_stored_under_the_lock),
	       TEST_BOTH(test_collisions_in14_nothing_is_mapped_meanwhile))
