/* SPDX-License-Identifier: MIT */
/*
 * A program whose memory migrates while it runs, see crowd.h
 */
#include "crowd.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "fixture.h"

enum {
	THREADS_MAX = 16,
	BLOCKS = 64,
	TLS_WORDS = 512,
};

struct block {
	uint64_t *words;
	size_t count;
	uint64_t seed;
};

/* State of one thread. It is on the heap, like the data it uses. */
struct member {
	const struct crowd *crowd;
	pthread_t thread;
	struct block blocks[BLOCKS];
	uint64_t random;
	uint64_t rounds;
	struct hmmu_port *port;
	uintptr_t stack;
	size_t stack_bytes;
	_Atomic unsigned int ready;
};

static _Atomic unsigned int stop;
static __thread uint64_t tls_words[TLS_WORDS];
static __thread uint64_t tls_round;
static __thread volatile sig_atomic_t tls_signals;
/* Written by the signal handlers of all threads. */
static _Atomic uint64_t *signal_words;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Work ------------------------------------------------------------------------ */

static void check_block(const struct block *b)
{
	size_t i;

	for (i = 0; i < b->count; i++)
		HMMU_CHECK(b->words[i] == live_word(b->seed, i));
}

static void fill_block(struct block *b, uint64_t seed)
{
	size_t i;

	b->seed = seed;
	for (i = 0; i < b->count; i++)
		b->words[i] = live_word(seed, i);
}

/* Allocates, frees or changes the size of one block. */
static void work_on_heap(struct member *m)
{
	uint64_t random = next_random(&m->random);
	struct block *b = &m->blocks[random % BLOCKS];
	size_t count = random & 0x800 ? random % 200 : random % 20000, i;

	check_block(b);
	if (random & 0x1000) {
		free(b->words);
		b->words = malloc(count * 8);
		HMMU_CHECK(b->words || !count);
		b->count = count;
		fill_block(b, random >> 44);
		return;
	}
	b->words = realloc(b->words, count * 8 + 8);
	HMMU_CHECK(b->words);
	for (i = 0; i < count && i < b->count; i++)
		HMMU_CHECK(b->words[i] == live_word(b->seed, i));
	b->count = count;
	fill_block(b, random >> 44);
}

static __attribute__((noinline)) uint64_t work_on_stack(uint64_t seed,
							unsigned int depth)
{
	volatile uint64_t words[200];
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < 200; i++)
		words[i] = live_word(seed, i);
	if (depth)
		sum = work_on_stack(seed + 1, depth - 1);
	for (i = 0; i < 200; i++)
		HMMU_CHECK(words[i] == live_word(seed, i));
	return sum + words[depth];
}

static void work_on_tls(void)
{
	size_t i;

	for (i = 0; i < TLS_WORDS; i++) {
		HMMU_CHECK(tls_words[i] ==
			   (tls_round ? live_word(tls_round, i) : 0));
	}
	tls_round++;
	for (i = 0; i < TLS_WORDS; i++)
		tls_words[i] = live_word(tls_round, i);
}

static void use_port(struct member *m, const struct block *b)
{
	uint64_t value = 0, random = next_random(&m->random);
	uintptr_t at;
	int err;

	if (!b->count)
		return;
	at = (uintptr_t)&b->words[random % b->count];
	err = hmmu_port_load64(m->port, at, &value);
	if (err == -EBUSY)
		return;
	HMMU_CHECK_OK(err);
	HMMU_CHECK(value == live_word(b->seed, random % b->count));
	err = hmmu_port_store64(m->port, at, value);
	HMMU_CHECK(!err || err == -EBUSY);
}

/* Every call takes locks that the fault service takes, too. */
static void call_hmmu(struct member *m)
{
	const struct block *b = &m->blocks[next_random(&m->random) % BLOCKS];
	uintptr_t start = (uintptr_t)b->words & ~(PAGE - 1);
	struct hmmu_space_stats stats = { .size = sizeof(stats) };
	int err = 0;

	switch (b->words ? next_random(&m->random) % 5 : 4) {
	case 0:
		err = hmmu_migrate_to_system(live_space, start, 4 * PAGE, NULL);
		break;
	case 1:
		err = hmmu_device_migrate(live_device, start, PAGE, NULL);
		break;
	case 2:
		err = hmmu_device_fault(live_device, start, 1,
					HMMU_ACCESS_WRITE);
		break;
	case 3:
		use_port(m, b);
		break;
	default:
		err = hmmu_space_get_stats(live_space, &stats);
	}
	if (err != -EBUSY)
		HMMU_CHECK_OK(err);
}

static void publish_stack(struct member *m)
{
	pthread_attr_t attr;
	void *start;

	HMMU_CHECK_OK(-pthread_getattr_np(pthread_self(), &attr));
	HMMU_CHECK_OK(-pthread_attr_getstack(&attr, &start, &m->stack_bytes));
	pthread_attr_destroy(&attr);
	m->stack = (uintptr_t)start;
	atomic_store_explicit(&m->ready, 1, memory_order_release);
}

static void *work(void *arg)
{
	struct member *m = arg;
	size_t i;

	publish_stack(m);
	if (m->crowd->calls)
		HMMU_CHECK_OK(hmmu_port_open(live_device, &m->port));
	while (!atomic_load_explicit(&stop, memory_order_acquire)) {
		work_on_heap(m);
		work_on_stack(m->random, (unsigned int)(m->random % 60));
		work_on_tls();
		if (m->crowd->calls)
			call_hmmu(m);
		m->rounds++;
	}
	hmmu_port_close(m->port);
	for (i = 0; i < BLOCKS; i++) {
		check_block(&m->blocks[i]);
		free(m->blocks[i].words);
	}
	return NULL;
}

/* Signals --------------------------------------------------------------------- */

static void on_signal(int number)
{
	int saved = errno;

	(void)number;
	tls_signals++;
	atomic_fetch_add_explicit(&signal_words[tls_signals % 4096], 1,
				  memory_order_relaxed);
	(void)work_on_stack((uint64_t)tls_signals, 3);
	errno = saved;
}

static void start_signals(timer_t *timer)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };
	struct itimerspec often = { .it_interval = { .tv_nsec = 300000 },
				    .it_value = { .tv_nsec = 300000 } };

	HMMU_CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	HMMU_CHECK_OK(sigaction(SIGALRM, &action, NULL));
	HMMU_CHECK_OK(timer_create(CLOCK_MONOTONIC, NULL, timer));
	HMMU_CHECK_OK(timer_settime(*timer, 0, &often, NULL));
}

static uint64_t count_signals(void)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < 4096; i++)
		sum += signal_words[i];
	return sum;
}

/* Migration ------------------------------------------------------------------- */

/* Reads into its stack: a buffer of stdio would be on the heap. */
static bool find_heap(uintptr_t *start, uintptr_t *end)
{
	char text[16384], *line;
	int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	HMMU_CHECK(file >= 0);
	while (used < sizeof(text) - 1 &&
	       (got = read(file, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	close(file);
	text[used] = '\0';
	line = strstr(text, "[heap]");
	if (!line)
		return false;
	while (line > text && line[-1] != '\n')
		line--;
	*start = strtoul(line, &line, 16);
	*end = strtoul(line + 1, NULL, 16);
	return true;
}

static uint64_t take(uintptr_t start, uintptr_t end)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	HMMU_CHECK_OK(hmmu_device_migrate(live_device, start, end - start, &r));
	return r.pages_moved;
}

static uint64_t take_parts(const struct crowd *crowd, struct member *members)
{
	uintptr_t start, end;
	uint64_t moved = 0;
	unsigned int i;

	if ((crowd->parts & CROWD_HEAP) && find_heap(&start, &end))
		moved += take(start, end);
	for (i = 0; (crowd->parts & CROWD_STACKS) && i < crowd->threads; i++)
		moved += take(members[i].stack,
			      members[i].stack + members[i].stack_bytes);
	if (crowd->parts & CROWD_EVERYTHING)
		moved += take(PAGE, (1ul << 47) - PAGE);
	for (i = 0; crowd->signals && i < crowd->threads; i++)
		HMMU_CHECK_OK(-pthread_kill(members[i].thread, SIGUSR1));
	return moved;
}

static void start_members(const struct crowd *crowd, struct member *members)
{
	unsigned int i;

	for (i = 0; i < crowd->threads; i++) {
		members[i].crowd = crowd;
		members[i].random = crowd->seed * 2654435761u + i + 1;
		members[i].thread = live_thread(work, &members[i]);
		HMMU_CHECK(live_wait_for(&members[i].ready, 1, 5000));
	}
}

/* The calls migrate blocks of the heap. */
static void need_memory(const struct crowd *crowd)
{
	if (crowd->parts & CROWD_EVERYTHING)
		live_need_program_alone();
	if (crowd->parts & CROWD_HEAP || crowd->calls)
		live_need_libc_heap();
}

void crowd_run(const struct crowd *crowd)
{
	uint64_t moved = 0, end;
	struct member *members = calloc(THREADS_MAX, sizeof(*members));
	unsigned int i;
	timer_t timer;

	live_need_move();
	need_memory(crowd);
	/* All threads use the one heap that migrates. */
	if (crowd->parts & CROWD_HEAP) {
		mallopt(M_ARENA_MAX, 1);
		mallopt(M_MMAP_THRESHOLD, 1 << 30);
	}
	signal_words = calloc(4096, sizeof(*signal_words));
	HMMU_CHECK(members && signal_words && crowd->threads <= THREADS_MAX);
	start_members(crowd, members);
	if (crowd->signals)
		start_signals(&timer);
	end = live_now_ns() + crowd->milliseconds * 1000000ull;
	while (live_now_ns() < end) {
		moved += take_parts(crowd, members);
		sched_yield();
	}
	if (crowd->signals)
		HMMU_CHECK_OK(timer_delete(timer));
	atomic_store_explicit(&stop, 1, memory_order_release);
	for (i = 0; i < crowd->threads; i++) {
		live_join(members[i].thread);
		HMMU_CHECK(members[i].rounds > 0);
	}
	HMMU_CHECK(moved > 0);
	HMMU_CHECK(!crowd->signals || count_signals() > 0);
	free((void *)signal_words);
	free(members);
}
