/* SPDX-License-Identifier: MIT */
/*
 * System V shared memory: Linux raises no event when it is detached, so the
 * hooks tell of it (IN19).
 */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

static int segment(void)
{
	int id = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);

	if (id < 0 && (errno == ENOSYS || errno == EACCES))
		HMMU_SKIP("System V shared memory");
	HMMU_CHECK(id >= 0);
	return id;
}

/* It goes with the last that is attached. */
static char *attach(int id, void *at, int flags)
{
	char *p = shmat(id, at, flags);

	HMMU_CHECK(p != (char *)-1);
	HMMU_CHECK_INT(shmctl(id, IPC_RMID, NULL), 0);
	return p;
}

static void need_hooks(void)
{
	if (live_is_late(&live_hooked))
		HMMU_SKIP("hooks");
}

static void map_on_device(struct hmmu_port *port, char *p)
{
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, BYTES,
					HMMU_ACCESS_WRITE));
	live_store(port, p, 7);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 7);
	HMMU_CHECK(live_leaf(live_device, p, NULL));
}

static void test_shm_detach_is_told(void)
{
	struct hmmu_port *port;
	uint64_t value;
	char *p, *beside;

	live_open();
	need_hooks();
	port = live_port();
	p = attach(segment(), NULL, 0);
	beside = attach(segment(), NULL, 0);
	map_on_device(port, p);
	map_on_device(port, beside);
	/* In two mappings: all of it goes. */
	HMMU_CHECK_OK(mprotect(p + BYTES / 2, PAGE, PROT_READ));
	HMMU_CHECK_INT(shmdt(p), 0);
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	HMMU_CHECK(!live_leaf(live_device, p + BYTES - PAGE, NULL));
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EFAULT);
	/* What lies beside it is used, and told of, as before. */
	map_on_device(port, beside);
	HMMU_CHECK_INT(shmdt(beside), 0);
	HMMU_CHECK(!live_leaf(live_device, beside, NULL));
	HMMU_CHECK_INT(shmdt(p), -1);
	HMMU_CHECK_INT(errno, EINVAL);
	hmmu_port_close(port);
	live_close();
}

/* Over private memory, which may be on the device. */
static void test_shm_remap_is_told(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_port *port;
	int id;

	live_open();
	need_hooks();
	port = live_port();
	(void)live_migrate(live_device, p, BYTES);
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	id = segment();
	HMMU_CHECK(attach(id, p, SHM_REMAP) == p);
	HMMU_CHECK_INT(live_device_pages(), 0);
	HMMU_CHECK_INT(live_load(port, p), 0);
	map_on_device(port, p);
	HMMU_CHECK_INT(shmdt(p), 0);
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
	hmmu_port_close(port);
	live_close();
}

/* Refused: the mapping that was there stays, on the device. */
static void test_shm_remap_refused(void)
{
	char *p = live_map_small(PAGES, 1);
	int id;

	live_open();
	need_hooks();
	(void)live_migrate(live_device, p, BYTES);
	id = segment();
	HMMU_CHECK(shmat(id, p + 8, SHM_REMAP) == (void *)-1);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK_INT(shmctl(id, IPC_RMID, NULL), 0);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_shm_detach_is_told),
	       HMMU_TEST(test_shm_remap_is_told),
	       HMMU_TEST(test_shm_remap_refused))
