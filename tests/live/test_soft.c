/* SPDX-License-Identifier: MIT */
/*
 * The software accelerator on the real memory of this process.
 */
#include <sched.h>
#include <sys/mman.h>

#include <hmmu/soft.h>

#include "fixture.h"

#define WAIT_NS	 (20ull * 1000 * 1000 * 1000)
#define RESOLVES HMMU_SOFT_BLOCK_ON_FAULT

static struct hmmu_space *space;
static struct hmmu_memory *memory;
static struct hmmu_soft *soft;
static struct hmmu_soft_queue *queue;

static void open_all(void)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options), .bytes = 32 * LARGE
	};
	struct hmmu_soft_options options = { .size = sizeof(options),
					     .name = "test",
					     .workers = 2,
					     .records = 64 };

	live_open_space();
	space = live_space;
	HMMU_CHECK_OK(hmmu_memory_create(space, &memory_options, &memory));
	options.memory = memory;
	HMMU_CHECK_OK(hmmu_soft_create(space, &options, &soft));
	HMMU_CHECK_OK(hmmu_soft_queue_create(soft, NULL, &queue));
}

static void close_all(void)
{
	HMMU_CHECK_OK(hmmu_soft_destroy(soft));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	HMMU_CHECK_OK(hmmu_space_close(space));
}

/* The records of the pool are never away: to look at one moves nothing. */
static struct hmmu_soft_record run(const struct hmmu_soft_descriptor *from)
{
	struct hmmu_soft_record *record = hmmu_soft_record_at(soft, 0);
	struct hmmu_soft_descriptor d = *from;

	record->status = HMMU_SOFT_PENDING;
	d.flags |= HMMU_SOFT_RECORD;
	d.record = (uintptr_t)record;
	HMMU_CHECK_OK(hmmu_soft_submit(queue, &d));
	HMMU_CHECK_OK(hmmu_soft_wait(soft, record, WAIT_NS));
	return *record;
}

static void *map_pages(size_t bytes, int prot)
{
	void *p = live_map(bytes);

	HMMU_CHECK_OK(mprotect(p, bytes, prot));
	return p;
}

/* 2 MiB aligned, so that all of it can be migrated. */
static void *get_blocks(size_t bytes)
{
	void *p = aligned_alloc(LARGE, bytes);

	HMMU_CHECK(p);
	HMMU_CHECK_OK(madvise(p, bytes, MADV_HUGEPAGE));
	return p;
}

static void fill_bytes(unsigned char *p, size_t bytes, unsigned int seed)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		p[i] = (unsigned char)(i * 7 + (i >> 12) + seed);
}

static void to_device(void *p, size_t bytes)
{
	struct hmmu_migrate_result result = { .size = sizeof(result) };

	live_need_move();
	HMMU_CHECK_OK(hmmu_device_migrate(hmmu_soft_device(soft), (uintptr_t)p,
					  bytes, &result));
	HMMU_CHECK_INT(result.pages_stayed, 0);
}

static uint64_t device_pages(void)
{
	struct hmmu_space_stats stats = { .size = sizeof(stats) };

	HMMU_CHECK_OK(hmmu_space_get_stats(space, &stats));
	return stats.device_pages;
}

/* Everything malloc'd, everything on the device, and it stays there. */
static void test_soft_moves_device_memory_in_place(void)
{
	size_t bytes = 2 * LARGE;
	unsigned char *from, *to, *expect;
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_MEMMOVE,
					  .flags = RESOLVES };

	open_all();
	from = get_blocks(bytes);
	to = get_blocks(bytes);
	expect = get_blocks(bytes);
	fill_bytes(from, bytes, 1);
	memset(to, 0, bytes);
	memcpy(expect, from, bytes);
	to_device(from, bytes);
	to_device(to, bytes);
	d.src = (uintptr_t)from;
	d.dst = (uintptr_t)to;
	d.bytes = (uint32_t)bytes;
	HMMU_CHECK_INT(run(&d).status, HMMU_SOFT_SUCCESS);
	d.opcode = HMMU_SOFT_COMPARE;
	HMMU_CHECK_INT(run(&d).result, 0);
	HMMU_CHECK_INT(device_pages(), 2 * bytes / PAGE);
	HMMU_CHECK_MEM(to, expect, bytes);
	HMMU_CHECK_MEM(from, expect, bytes);
	close_all();
	HMMU_CHECK_MEM(to, expect, bytes);
}

static void test_soft_stops_without_translation_and_goes_on(void)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_COPY_CRC };
	struct hmmu_soft_record r;
	unsigned int stops = 0;
	unsigned char *from, *to;
	uint64_t crc;

	open_all();
	from = get_blocks(LARGE);
	to = get_blocks(LARGE);
	fill_bytes(from, LARGE, 3);
	d.src = (uintptr_t)from;
	d.dst = (uintptr_t)to;
	d.bytes = LARGE;
	while ((r = run(&d)).status == HMMU_SOFT_PAGE_FAULT) {
		HMMU_CHECK(stops++ < 2000);
		HMMU_CHECK_INT(r.fault_errno, ENOENT);
		HMMU_CHECK_OK(hmmu_soft_continue(&d, &r));
		HMMU_CHECK(r.fault_address == (r.fault_write ? d.dst : d.src));
		HMMU_CHECK_OK(hmmu_device_fault(
			hmmu_soft_device(soft), r.fault_address, 1,
			r.fault_write ? HMMU_ACCESS_WRITE : HMMU_ACCESS_READ));
	}
	HMMU_CHECK_INT(r.status, HMMU_SOFT_SUCCESS);
	HMMU_CHECK(stops >= 2);
	HMMU_CHECK_MEM(from, to, LARGE);
	crc = r.value;
	d = (struct hmmu_soft_descriptor){ .opcode = HMMU_SOFT_CRC,
					   .flags = RESOLVES,
					   .src = (uintptr_t)to,
					   .bytes = LARGE };
	HMMU_CHECK_INT(run(&d).value, crc);
	close_all();
}

static void check_refused(const struct hmmu_soft_descriptor *d, int reason,
			  const void *where, uint32_t done)
{
	struct hmmu_soft_record r = run(d);

	HMMU_CHECK_INT(r.status, HMMU_SOFT_ACCESS_FAULT);
	HMMU_CHECK_INT(r.fault_errno, reason);
	HMMU_CHECK(r.fault_address == (uintptr_t)where);
	HMMU_CHECK_INT(r.bytes_completed, done);
}

static void test_soft_refused_access_is_a_value(void)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FILL,
					  .flags = RESOLVES,
					  .bytes = 4 * PAGE };
	unsigned char *p, *own;

	open_all();
	p = map_pages(4 * PAGE, PROT_READ | PROT_WRITE);
	d.dst = (uintptr_t)p;
	HMMU_CHECK_INT(run(&d).status, HMMU_SOFT_SUCCESS);
	HMMU_CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	check_refused(&d, EPERM, p + 2 * PAGE, 2 * PAGE);
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	check_refused(&d, EFAULT, p + PAGE, PAGE);
	HMMU_CHECK_OK(mprotect(p, PAGE, PROT_NONE));
	check_refused(&d, EFAULT, p, 0);
	/* NULL, the kernel's half, and memory of HMMU itself. */
	d.dst = 0;
	check_refused(&d, EFAULT, NULL, 0);
	d.dst = UINT64_MAX - 8 * PAGE + 1;
	check_refused(&d, EFAULT, (void *)(uintptr_t)d.dst, 0);
	own = hmmu_alloc(4 * PAGE);
	HMMU_CHECK(own);
	d.dst = (uintptr_t)own;
	d.operand[0] = UINT64_MAX;
	check_refused(&d, EFAULT, own, 0);
	HMMU_CHECK_INT(own[0], 0);
	hmmu_free(own, 4 * PAGE);
	close_all();
}

/* The record itself is on the device while it is waited for. */
static void test_soft_record_may_be_on_the_device(void)
{
	struct hmmu_soft_record *record;
	struct hmmu_soft_descriptor d = { .flags = HMMU_SOFT_RECORD };
	int i;

	open_all();
	record = get_blocks(LARGE);
	memset(record, 0, LARGE);
	d.record = (uintptr_t)&record[5];
	for (i = 0; i < 20; i++) {
		record[5].status = HMMU_SOFT_PENDING;
		to_device(record, LARGE);
		HMMU_CHECK_OK(hmmu_soft_submit(queue, &d));
		HMMU_CHECK_OK(hmmu_soft_wait(soft, &record[5], WAIT_NS));
		HMMU_CHECK_INT(hmmu_soft_record_status(&record[5]),
			       HMMU_SOFT_SUCCESS);
	}
	close_all();
}

#define ADDS 20000u

static void *add_by_cpu(void *arg)
{
	uint64_t *word = arg;
	uint32_t i;

	for (i = 0; i < ADDS; i++)
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void submit_until_taken(const struct hmmu_soft_descriptor *d)
{
	int err;

	while ((err = hmmu_soft_submit(queue, d)) == -EAGAIN)
		sched_yield();
	HMMU_CHECK_OK(err);
}

/* CPU and device add to one word that is moved to and fro meanwhile. */
static void test_soft_atomics_meet_the_cpu(void)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .flags = RESOLVES,
					  .bytes = 8,
					  .operand = { 1 } };
	pthread_t thread;
	uint64_t *word;
	uint32_t i;

	live_need_move();
	open_all();
	word = get_blocks(LARGE);
	memset(word, 0, LARGE);
	d.dst = (uintptr_t)(word + 100);
	thread = live_thread(add_by_cpu, word + 100);
	for (i = 0; i < ADDS; i++) {
		submit_until_taken(&d);
		if (i % 500 == 0)
			HMMU_CHECK_OK(hmmu_device_migrate(
				hmmu_soft_device(soft), (uintptr_t)word, LARGE,
				NULL));
	}
	HMMU_CHECK_OK(-pthread_join(thread, NULL));
	HMMU_CHECK_OK(hmmu_soft_queue_drain(queue, WAIT_NS));
	HMMU_CHECK_INT(word[100], 2 * ADDS);
	close_all();
}

struct node {
	struct node *next;
	uint64_t value;
	uint64_t sum;
};

#define NODES 100000u

static struct node *make_list(void)
{
	struct node *head = NULL, *node;
	uint64_t i;

	for (i = 0; i < NODES; i++) {
		node = malloc(sizeof(*node));
		HMMU_CHECK(node);
		*node = (struct node){ .next = head, .value = i };
		head = node;
	}
	return head;
}

/* One section for many nodes, each node reached by its pointer. */
static int sum_list(struct hmmu_port *port, void *arg, unsigned int worker,
		    unsigned int workers)
{
	uintptr_t at = (uintptr_t)arg;
	uint64_t value, sum = 0, next;
	unsigned int i = 0;
	int err = 0;

	(void)worker;
	(void)workers;
	hmmu_port_begin(port);
	for (; at && !err; at = next) {
		err = hmmu_port_load64(port, at + offsetof(struct node, value),
				       &value);
		sum += value;
		if (!err)
			err = hmmu_port_store64(
				port, at + offsetof(struct node, sum), sum);
		if (!err)
			err = hmmu_port_load64(port, at, &next);
		if (err)
			break;
		if (++i % 256 == 0) {
			hmmu_port_end(port);
			hmmu_port_begin(port);
		}
	}
	hmmu_port_end(port);
	return err;
}

static void run_kernel(hmmu_soft_kernel_fn fn, void *arg, unsigned int workers,
		       struct hmmu_soft_job_result *result)
{
	struct hmmu_soft_job *job;

	result->size = sizeof(*result);
	HMMU_CHECK_OK(hmmu_soft_launch(soft, fn, arg, workers, &job));
	HMMU_CHECK_OK(hmmu_soft_job_wait(job, WAIT_NS, result));
}

static void check_list(const struct node *node)
{
	uint64_t i = NODES, sum = 0;

	for (; node; node = node->next) {
		sum += --i;
		HMMU_CHECK_INT(node->sum, sum);
	}
	HMMU_CHECK_INT(i, 0);
}

static void test_soft_kernel_follows_pointers_of_the_heap(void)
{
	struct hmmu_soft_job_result result;
	struct hmmu_migrate_result moved = { .size = sizeof(moved) };
	struct node *list;
	char *top;

	live_need_libc_heap();
	open_all();
	list = make_list();
	run_kernel(sum_list, list, 1, &result);
	HMMU_CHECK_OK(result.error);
	check_list(list);
	/* And with the heap on the device. */
	live_need_move();
	top = sbrk(0);
	HMMU_CHECK_OK(hmmu_device_migrate(
		hmmu_soft_device(soft), ((uintptr_t)top & ~(LARGE - 1)) - LARGE,
		LARGE, &moved));
	HMMU_CHECK(moved.pages_moved > 0);
	list->sum = 1;
	run_kernel(sum_list, list, 1, &result);
	HMMU_CHECK_OK(result.error);
	check_list(list);
	close_all();
}

static int touch_span(struct hmmu_port *port, void *arg, unsigned int worker,
		      unsigned int workers)
{
	volatile unsigned char *host;
	size_t run;
	void *p;
	int err;

	(void)worker;
	(void)workers;
	hmmu_port_begin(port);
	err = hmmu_port_span(port, (uintptr_t)arg, PAGE, HMMU_ACCESS_READ, &p,
			     &run);
	if (!err) {
		/* Behind the hooks' back, and in the section. */
		syscall(SYS_munmap, arg, PAGE);
		host = p;
		(void)host[1];
	}
	hmmu_port_end(port);
	return err;
}

static void test_soft_stray_kernel_is_a_result(void)
{
	struct hmmu_soft_job_result result;
	struct node stray = { .next = (struct node *)(uintptr_t)0x1234560 };
	unsigned char *p;

	open_all();
	run_kernel(sum_list, &stray, 1, &result);
	HMMU_CHECK_INT(result.error, -EFAULT);
	HMMU_CHECK(result.fault.va == 0x1234560 + offsetof(struct node, value));
	p = map_pages(PAGE, PROT_READ | PROT_WRITE);
	p[0] = 1;
	run_kernel(touch_span, p, 1, &result);
	HMMU_CHECK_INT(result.error, -EFAULT);
	/* The worker lives. */
	stray.next = NULL;
	run_kernel(sum_list, &stray, 0, &result);
	HMMU_CHECK_OK(result.error);
	close_all();
}

/* Unmapping under a move ends it with a fault or lets it end: nothing else. */
static void check_unmap_under_move(unsigned int i, bool raw)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_MEMMOVE,
					  .flags = RESOLVES,
					  .bytes = LARGE };
	struct hmmu_soft_record *record = hmmu_soft_record_at(soft, 1);
	unsigned char *from = map_pages(LARGE, PROT_READ | PROT_WRITE);
	unsigned char *to = map_pages(LARGE, PROT_READ | PROT_WRITE);
	unsigned char *gone = i % 2 ? from : to;

	fill_bytes(from, LARGE, i);
	memset(to, 0, LARGE);
	d.src = (uintptr_t)from;
	d.dst = (uintptr_t)to;
	record->status = HMMU_SOFT_PENDING;
	d.flags |= HMMU_SOFT_RECORD;
	d.record = (uintptr_t)record;
	HMMU_CHECK_OK(hmmu_soft_submit(queue, &d));
	usleep(i * 10);
	if (raw)
		HMMU_CHECK_OK(syscall(SYS_munmap, gone + LARGE / 2, LARGE / 2));
	else
		HMMU_CHECK_OK(munmap(gone + LARGE / 2, LARGE / 2));
	HMMU_CHECK_OK(hmmu_soft_wait(soft, record, WAIT_NS));
	if (record->status != HMMU_SOFT_SUCCESS) {
		HMMU_CHECK_INT(record->status, HMMU_SOFT_ACCESS_FAULT);
		HMMU_CHECK_INT(record->fault_errno, EFAULT);
		HMMU_CHECK(record->fault_address >=
				   (uintptr_t)gone + LARGE / 2 &&
			   record->fault_address < (uintptr_t)gone + LARGE);
		HMMU_CHECK(record->bytes_completed >= LARGE / 2);
	}
	HMMU_CHECK_MEM(from, to, LARGE / 2);
	HMMU_CHECK_OK(munmap(from, LARGE));
	HMMU_CHECK_OK(munmap(to, LARGE));
}

static void test_soft_unmap_under_a_move(void)
{
	unsigned int i;

	open_all();
	for (i = 0; i < 40; i++)
		check_unmap_under_move(i, i % 4 > 1);
	close_all();
}

static void test_soft_batch_from_the_heap(void)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_BATCH,
					  .flags = RESOLVES,
					  .bytes = 100 };
	struct hmmu_soft_descriptor *list;
	struct hmmu_soft_record r;
	uint64_t *words;
	uint32_t i;

	open_all();
	list = aligned_alloc(64, d.bytes * sizeof(*list));
	words = calloc(101, sizeof(*words));
	HMMU_CHECK(list && words);
	words[0] = 0x600d;
	for (i = 0; i < d.bytes; i++)
		list[i] = (struct hmmu_soft_descriptor){
			.opcode = HMMU_SOFT_MEMMOVE,
			.flags = RESOLVES,
			.src = (uintptr_t)&words[i],
			.dst = (uintptr_t)&words[i + 1],
			.bytes = sizeof(*words),
		};
	d.src = (uintptr_t)list;
	r = run(&d);
	HMMU_CHECK_INT(r.status, HMMU_SOFT_SUCCESS);
	HMMU_CHECK_INT(r.bytes_completed, 100);
	HMMU_CHECK_INT(words[100], 0x600d);
	free(list);
	free(words);
	close_all();
}

static void test_soft_destroy_waits_for_foreign_ports(void)
{
	struct hmmu_port *port;
	uint64_t value = 0, word = 77;

	open_all();
	HMMU_CHECK_OK(hmmu_port_open(hmmu_soft_device(soft), &port));
	HMMU_CHECK_INT(hmmu_soft_destroy(soft), -EBUSY);
	/* The port still works. */
	HMMU_CHECK_OK(hmmu_port_load64(port, (uintptr_t)&word, &value));
	HMMU_CHECK_INT(value, 77);
	hmmu_port_close(port);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(test_soft_moves_device_memory_in_place),
	       HMMU_TEST(test_soft_stops_without_translation_and_goes_on),
	       HMMU_TEST(test_soft_refused_access_is_a_value),
	       HMMU_TEST(test_soft_record_may_be_on_the_device),
	       HMMU_TEST(test_soft_atomics_meet_the_cpu),
	       HMMU_TEST(test_soft_kernel_follows_pointers_of_the_heap),
	       HMMU_TEST(test_soft_stray_kernel_is_a_result),
	       HMMU_TEST(test_soft_unmap_under_a_move),
	       HMMU_TEST(test_soft_batch_from_the_heap),
	       HMMU_TEST(test_soft_destroy_waits_for_foreign_ports))
