/* SPDX-License-Identifier: MIT */
/* Accesses, spans and exceptions of a port. */
#include "tests/unit/port_fixture.h"

#include "api/signals.h"

/* Accesses ------------------------------------------------------------------- */

static void test_port_loads_and_stores_what_the_mirror_says(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v64 = 0;
	uint32_t v32 = 0;
	uint16_t v16 = 0;
	uint8_t v8 = 0;

	(void)state;
	assert_int_equal(hmmu_port_store64(port, VA + 8, 0x1122334455667788),
			 0);
	assert_int_equal(*(uint64_t *)(void *)(f->host + 8),
			 0x1122334455667788);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA + 8, &v64), 0);
	assert_int_equal(hmmu_port_load32(port, VA + 12, &v32), 0);
	assert_int_equal(hmmu_port_load16(port, VA + 10, &v16), 0);
	assert_int_equal(hmmu_port_load8(port, VA + 15, &v8), 0);
	assert_int_equal(v64, 0x1122334455667788);
	assert_int_equal(v32, 0x11223344);
	assert_int_equal(v16, 0x5566);
	assert_int_equal(v8, 0x11);
	assert_int_equal(hmmu_port_store8(port, VA + 16, 1), 0);
	assert_int_equal(hmmu_port_store16(port, VA + 18, 2), 0);
	assert_int_equal(hmmu_port_store32(port, VA + 20, 3), 0);
	hmmu_port_end(port);
	assert_int_equal(f->host[16] + f->host[18] + f->host[20], 6);
	/* The TLB kept it: one device fault in all. */
	assert_int_equal(fixture_faults(f), 1);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_access_crosses_pages(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v = 0;

	(void)state;
	assert_int_equal(
		hmmu_port_store64(port, VA + PAGE - 3, 0x0102030405060708), 0);
	assert_int_equal(f->host[PAGE - 1], 6);
	assert_int_equal(f->host[PAGE], 5);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE - 3, &v), 0);
	assert_int_equal(v, 0x0102030405060708);
	/* The second half is not there: nothing is stored, nothing loaded. */
	memset(f->host, 0, 2 * PAGE);
	v = 7;
	assert_int_equal(hmmu_port_store64(port, VA + 2 * PAGE - 4, ~0ull),
			 -EFAULT);
	assert_int_equal(f->host[2 * PAGE - 1], 0);
	assert_int_equal(hmmu_port_load64(port, VA + 2 * PAGE - 4, &v),
			 -EFAULT);
	assert_int_equal(v, 7);
	assert_int_equal(fault_of(port).va, VA + 2 * PAGE);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_fault_is_a_value(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v;

	(void)state;
	assert_int_equal(fault_of(port).error, 0);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE + 8, &v), -EFAULT);
	assert_int_equal(fault_of(port).va, VA + PAGE + 8);
	assert_int_equal(fault_of(port).access, HMMU_ACCESS_READ);
	assert_int_equal(fault_of(port).error, -EFAULT);
	array_protect(core.m, VA, PAGE, HMMU_VMA_READ | HMMU_VMA_ANON);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(hmmu_port_store64(port, VA, 1), -EPERM);
	assert_int_equal(fault_of(port).access, HMMU_ACCESS_WRITE);
	assert_int_equal(fault_of(port).error, -EPERM);
	/* Not canonical, and beyond the end of all addresses. */
	assert_int_equal(hmmu_port_load64(port, 1ul << 60, &v), -EFAULT);
	assert_int_equal(hmmu_port_load64(port, UINTPTR_MAX - 3, &v), -EFAULT);
	assert_int_equal(hmmu_port_load64(port, UINTPTR_MAX - 7, &v), -EFAULT);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_report_only_resolves_nothing(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v = 0;

	(void)state;
	hmmu_port_set_fault_mode(port, 1);
	assert_int_equal(hmmu_port_load64(port, VA + 8, &v), -ENOENT);
	assert_int_equal(fault_of(port).va, VA + 8);
	assert_int_equal(fixture_faults(f), 0);
	hmmu_port_set_fault_mode(port, 0);
	assert_int_equal(hmmu_port_load64(port, VA + 8, &v), 0);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_small_leaves_that_lie_like_a_large_one(void **state)
{
	struct fixture *f = fixture_create(1024);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < 1024; i++) {
		*(uint64_t *)(void *)(f->host + i * PAGE) = i;
		fixture_map(f, VA + i * PAGE);
	}
	hmmu_port_begin(port);
	for (size_t i = 0; i < 1024; i++) {
		assert_int_equal(hmmu_port_load64(port, VA + i * PAGE, &v), 0);
		assert_int_equal(v, i);
	}
	assert_int_equal(port->large[(VA >> 21) % 64].read_tag, VA >> 21);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_copies_any_length(void **state)
{
	const size_t bytes = 50 * PAGE + 123;
	struct fixture *f = fixture_create(64);
	struct hmmu_port *port = fixture_open(f);
	unsigned char *a = malloc(64 * PAGE);
	unsigned char *b = hmmu__alloc_pages(64);
	size_t done = 0;

	(void)state;
	for (size_t i = 0; i < 64 * PAGE; i++)
		a[i] = (unsigned char)(i * 7 + i / 251);
	assert_int_equal(hmmu_port_write(port, VA + 5, a, bytes, &done), 0);
	assert_int_equal(done, bytes);
	assert_memory_equal(f->host + 5, a, bytes);
	/* Into the arena: without the buffer between. */
	assert_int_equal(hmmu_port_read(port, VA + 5, b, bytes, &done), 0);
	assert_memory_equal(b, a, bytes);
	memset(a, 0, bytes);
	assert_int_equal(hmmu_port_read(port, VA + 5, a, bytes, NULL), 0);
	assert_memory_equal(b, a, bytes);
	assert_int_equal(hmmu_port_read(port, VA, a, 0, &done), 0);
	assert_int_equal(done, 0);
	/* As far as it goes, to the byte. */
	assert_int_equal(hmmu_port_read(port, VA + 60 * PAGE + 1, a, 5 * PAGE,
					&done),
			 -EFAULT);
	assert_int_equal(done, 4 * PAGE - 1);
	assert_int_equal(fault_of(port).va, VA + 64 * PAGE);
	assert_int_equal(hmmu_port_write(port, UINTPTR_MAX - 5, a, 10, &done),
			 -EINVAL);
	hmmu__free_pages(b, 64);
	free(a);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void check_exchange(struct fixture *f, struct hmmu_port *port,
			   size_t bytes)
{
	unsigned char found[16], wanted[16], before[48];
	unsigned char *p = f->host + 16;

	memset(f->host, 0xaa, 48);
	memset(found, 0x11, sizeof(found));
	memset(wanted, 0x22, sizeof(wanted));
	memcpy(before, f->host, 48);
	assert_int_equal(hmmu_port_compare_exchange(port, VA + 16, bytes, found,
						    wanted),
			 0);
	assert_memory_equal(f->host, before, 48);
	assert_memory_equal(found, before, bytes);
	assert_int_equal(hmmu_port_compare_exchange(port, VA + 16, bytes, found,
						    wanted),
			 1);
	assert_memory_equal(p, wanted, bytes);
	memcpy(before + 16, wanted, bytes);
	assert_memory_equal(f->host, before, 48);
}

static void test_port_atomics_of_each_size(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	uint64_t a[2] = { 0 }, b[2] = { 0 }, old = 0;

	(void)state;
	for (size_t bytes = 1; bytes <= 16; bytes *= 2)
		check_exchange(f, port, bytes);
	assert_int_equal(hmmu_port_compare_exchange(port, VA, 3, a, b),
			 -EINVAL);
	assert_int_equal(hmmu_port_compare_exchange(port, VA, 32, a, b),
			 -EINVAL);
	assert_int_equal(hmmu_port_compare_exchange(port, VA + 8, 16, a, b),
			 -EINVAL);
	memset(f->host, 0xff, 16);
	assert_int_equal(hmmu_port_fetch_add(port, VA, 4, 2, &old), 0);
	assert_int_equal(old, UINT32_MAX);
	assert_int_equal(f->host[0], 1);
	assert_int_equal(f->host[4], 0xff);
	assert_int_equal(hmmu_port_fetch_add(port, VA + 8, 8, 3, &old), 0);
	assert_int_equal(old, UINT64_MAX);
	assert_int_equal(f->host[8], 2);
	assert_int_equal(hmmu_port_fetch_add(port, VA, 8, 0, NULL), 0);
	assert_int_equal(hmmu_port_fetch_add(port, VA + 4, 8, 0, NULL),
			 -EINVAL);
	assert_int_equal(hmmu_port_fetch_add(port, VA, 2, 0, NULL), -EINVAL);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* On another thread: a device fault breaks the sections of its own. */
static void map_nine_pages(void *arg)
{
	for (size_t i = 0; i < 9; i++)
		fixture_map(arg, VA + i * PAGE);
}

static void test_port_span_rules(void **state)
{
	struct fixture *f = fixture_create(16);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	size_t n = 0;
	void *p = NULL;

	(void)state;
	assert_int_equal(hmmu_port_span(port, VA, 1, HMMU_ACCESS_READ, &p, &n),
			 -EINVAL);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 0, HMMU_ACCESS_READ, &p, &n),
			 -EINVAL);
	assert_int_equal(hmmu_port_span(port, UINTPTR_MAX, 2, HMMU_ACCESS_READ,
					&p, &n),
			 -EINVAL);
	assert_int_equal(hmmu_port_span(port, VA + 8, 99 * PAGE,
					HMMU_ACCESS_WRITE, &p, &n),
			 0);
	assert_ptr_equal(p, f->host + 8);
	assert_int_equal(n, PAGE - 8);
	helper_start(&h, map_nine_pages, f);
	helper_join(&h);
	/* All that lies together, and no more than was asked for. */
	assert_int_equal(hmmu_port_span(port, VA + 8, 99 * PAGE,
					HMMU_ACCESS_WRITE, &p, &n),
			 0);
	assert_int_equal(n, 9 * PAGE - 8);
	assert_int_equal(hmmu_port_span(port, VA + 8, PAGE, HMMU_ACCESS_READ,
					&p, &n),
			 0);
	assert_int_equal(n, PAGE);
	assert_int_equal(hmmu_port_span(port, VA + 16 * PAGE, 1,
					HMMU_ACCESS_READ, &p, &n),
			 -EFAULT);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* Exceptions ----------------------------------------------------------------- */

/* A program's own handler, installed later than HMMU's, that does as told.
 * cmocka installs one before each test, too. */
static void program_handler(int signal, siginfo_t *info, void *context)
{
	if (!hmmu_signal_handle(signal, info, context))
		_exit(99);
}

static void signals_use(void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO };

	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	assert_int_equal(sigaction(SIGBUS, &sa, NULL), 0);
}

/* Takes the second page of the host away behind the port's back. */
static void host_lose_second_page(struct fixture *f)
{
	assert_int_equal(mprotect(f->host + PAGE, PAGE, PROT_NONE), 0);
}

static void test_port_lost_memory_is_a_value(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	unsigned char buffer[64];
	uint64_t v = 7, w = 0;
	size_t done = 0;

	(void)state;
	signals_use(program_handler);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), 0);
	v = 7;
	host_lose_second_page(f);
	/* Through the TLB, inline, and from then on without. */
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), -EFAULT);
	assert_int_equal(fault_of(port).va, VA + PAGE);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), -EFAULT);
	assert_int_equal(v, 7);
	assert_int_equal(hmmu_port_store8(port, VA + PAGE, 1), -EFAULT);
	assert_int_equal(hmmu_port_load32(port, VA + PAGE - 2,
					  (uint32_t *)(void *)&w),
			 -EFAULT);
	hmmu_port_end(port);
	assert_int_equal(hmmu_port_read(port, VA + PAGE - 24, buffer, 64,
					&done),
			 -EFAULT);
	assert_int_equal(done, 24);
	assert_int_equal(fault_of(port).va, VA + PAGE);
	assert_int_equal(hmmu_port_write(port, VA + PAGE - 24, buffer, 64,
					 &done),
			 -EFAULT);
	assert_int_equal(done, 24);
	for (size_t bytes = 1; bytes <= 8; bytes *= 2)
		assert_int_equal(hmmu_port_compare_exchange(port, VA + PAGE,
							    bytes, &v, &w),
				 -EFAULT);
	assert_int_equal(hmmu_port_fetch_add(port, VA + PAGE, 4, 1, NULL),
			 -EFAULT);
	assert_int_equal(hmmu_port_fetch_add(port, VA + PAGE, 8, 1, NULL),
			 -EFAULT);
	/* It comes back. */
	assert_int_equal(mprotect(f->host, 2 * PAGE, PROT_READ | PROT_WRITE),
			 0);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), 0);
	assert_int_equal(v, 0);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* Touches what it has a span of, after the memory has gone. */
static int touch_lost_span(struct hmmu_port *port, void *arg)
{
	struct fixture *f = arg;
	void *p = NULL;
	size_t n = 0;

	hmmu_port_begin(port);
	hmmu_port_begin(port);
	if (hmmu_port_span(port, VA + PAGE, 8, HMMU_ACCESS_WRITE, &p, &n))
		return 1;
	host_lose_second_page(f);
	*(volatile uint64_t *)p = 1;
	return 2;
}

static int return_ten(struct hmmu_port *port, void *arg)
{
	(void)port;
	(void)arg;
	return 10;
}

static int run_inner(struct hmmu_port *port, void *arg)
{
	struct fixture *f = arg;
	int ret = hmmu_port_run(port, touch_lost_span, arg);

	assert_int_equal(ret, -EFAULT);
	/* The outer guard counts again. */
	*(volatile char *)(f->host + PAGE) = 1;
	return 3;
}

static void test_port_run_turns_a_signal_into_a_value(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v;

	(void)state;
	signals_use(program_handler);
	assert_int_equal(hmmu_port_run(port, return_ten, NULL), 10);
	/* Twice: the signal must not stay blocked. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			mprotect(f->host, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
		assert_int_equal(hmmu_port_run(port, touch_lost_span, f),
				 -EFAULT);
		assert_int_equal(port->depth, 0);
		assert_int_equal(port->section % 2, 0);
		assert_int_equal(fault_of(port).va, (uintptr_t)f->host + PAGE);
		assert_int_equal(fault_of(port).access, HMMU_ACCESS_WRITE);
	}
	assert_int_equal(mprotect(f->host, 2 * PAGE, PROT_READ | PROT_WRITE),
			 0);
	assert_int_equal(hmmu_port_run(port, run_inner, f), -EFAULT);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_run(port, return_ten, NULL), -EINVAL);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* Chaining: each in a child, where HMMU's handler is installed once. */

static int in_child(int (*fn)(void))
{
	struct rlimit none = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* A page that nobody may touch. */
static volatile char *volatile nothing;

static void touch_nothing(void)
{
	nothing =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*nothing = 1;
}

static int child_default(void)
{
	(void)signal(SIGSEGV, SIG_DFL);
	if (hmmu__signals_install())
		return 1;
	touch_nothing();
	return 2;
}

static int child_default_sent(void)
{
	(void)signal(SIGSEGV, SIG_DFL);
	if (hmmu__signals_install())
		return 1;
	(void)kill(getpid(), SIGSEGV);
	return 2;
}

static int child_ignored(void)
{
	(void)signal(SIGSEGV, SIG_IGN);
	if (hmmu__signals_install())
		return 1;
	/* Sent: ignored as the program wants. Raised: nobody can. */
	(void)kill(getpid(), SIGSEGV);
	touch_nothing();
	return 2;
}

static void exit_with_info(int signal, siginfo_t *info, void *context)
{
	sigset_t mask;

	(void)sigprocmask(SIG_BLOCK, NULL, &mask);
	_exit(signal == SIGSEGV &&
			      info->si_addr == (void *)(uintptr_t)nothing &&
			      context && sigismember(&mask, SIGUSR1) &&
			      sigismember(&mask, SIGSEGV) ?
		      42 :
		      3);
}

static int child_handler_with_info(void)
{
	struct sigaction sa = { .sa_sigaction = exit_with_info,
				.sa_flags = SA_SIGINFO };

	(void)sigaddset(&sa.sa_mask, SIGUSR1);
	(void)sigaction(SIGSEGV, &sa, NULL);
	if (hmmu__signals_install() || hmmu__signals_install())
		return 1;
	touch_nothing();
	return 2;
}

static void exit_plainly(int signal)
{
	_exit(signal == SIGSEGV ? 43 : 3);
}

static int child_handler_plain(void)
{
	(void)signal(SIGSEGV, exit_plainly);
	if (hmmu__signals_install())
		return 1;
	touch_nothing();
	return 2;
}

/* A port's own fault does not reach the program's handler. */
static int child_port_fault(void)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v;

	(void)signal(SIGSEGV, exit_plainly);
	if (hmmu__signals_install() || hmmu_port_load64(port, VA + PAGE, &v))
		return 1;
	host_lose_second_page(f);
	return hmmu_port_load64(port, VA + PAGE, &v) == -EFAULT ? 44 : 2;
}

static int touch_null(struct hmmu_port *port, void *arg)
{
	(void)port;
	nothing = arg;
	*nothing = 1;
	return 0;
}

/* A mistake of the function is no fault of the program's memory. */
static int child_null_in_run(void)
{
	struct hmmu_port *port = fixture_open(fixture_create(1));

	(void)signal(SIGSEGV, exit_plainly);
	return hmmu__signals_install() ||
	       hmmu_port_run(port, touch_null, (void *)8);
}

static void test_port_signals_of_others_are_handed_on(void **state)
{
	static const struct {
		int (*fn)(void);
		int signal;
		int exit;
	} cases[] = {
		{ child_default, SIGSEGV, 0 },
		{ child_default_sent, SIGSEGV, 0 },
		{ child_ignored, SIGSEGV, 0 },
		{ child_handler_with_info, 0, 42 },
		{ child_handler_plain, 0, 43 },
		{ child_port_fault, 0, 44 },
		{ child_null_in_run, 0, 43 },
	};

	(void)state;
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(cases); i++) {
		int status = in_child(cases[i].fn);

		if (cases[i].signal) {
			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), cases[i].signal);
		} else {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), cases[i].exit);
		}
	}
}

/* Inline code of other versions ---------------------------------------------- */

/* What such code takes for its TLB, as far as it knows: nothing was filled. */
static bool is_all_ones(const struct hmmu_port *port, size_t head_bytes)
{
	const unsigned char *p = (const unsigned char *)port;
	size_t i = offsetof(struct hmmu_port, large);

	while (i < head_bytes && p[i] == 0xff)
		i++;
	return i == head_bytes;
}

/* All that a port can do, by the inline code of this header. */
static void use_all_of(struct fixture *f, struct hmmu_port *port)
{
	uint64_t v = 0, wanted = 5, desired = 6;
	unsigned char byte = 0;
	uint64_t *host = (uint64_t *)(void *)f->host;
	void *p = NULL;
	size_t n = 0;

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(hmmu_port_store64(port, VA + i * PAGE, i), 0);
		assert_int_equal(host[i * PAGE / 8], i);
	}
	hmmu_port_begin(port);
	for (size_t i = 0; i < 16; i++) {
		assert_int_equal(hmmu_port_load64(port, VA + i % 4 * PAGE, &v),
				 0);
		assert_int_equal(v, i % 4);
	}
	assert_int_equal(hmmu_port_store8(port, VA + PAGE + 9, 7), 0);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE - 4, &v), 0);
	assert_int_equal(hmmu_port_span(port, VA + 8, 2 * PAGE,
					HMMU_ACCESS_WRITE, &p, &n),
			 0);
	assert_ptr_equal(p, f->host + 8);
	assert_int_equal(n, 2 * PAGE);
	hmmu_port_end(port);
	host[1] = 5;
	assert_int_equal(hmmu_port_compare_exchange(port, VA + 8, 8, &wanted,
						    &desired),
			 1);
	assert_int_equal(hmmu_port_fetch_add(port, VA + 8, 8, 10, &v), 0);
	assert_int_equal(host[1], 16);
	assert_int_equal(hmmu_port_read(port, VA + PAGE + 9, &byte, 1, NULL),
			 0);
	assert_int_equal(byte, 7);
	assert_int_equal(hmmu_port_load64(port, VA + 4 * PAGE, &v), -EFAULT);
	assert_int_equal(fault_of(port).va, VA + 4 * PAGE);
}

static void check_layout(uint32_t layout, size_t head_bytes, bool is_own)
{
	struct fixture *f = fixture_create(4);
	struct hmmu_port *port = NULL;
	size_t known = head_bytes > sizeof(*port) ? head_bytes : sizeof(*port);
	uint64_t v;

	assert_int_equal(hmmu__port_open_layout(f->device, layout, head_bytes,
						&port),
			 0);
	assert_true(is_all_ones(port, known));
	use_all_of(f, port);
	assert_int_equal(is_all_ones(port, known), !is_own);
	/* What is gone is not used: neither in a new section nor in an old. */
	fixture_invalidate(f);
	assert_int_equal(fixture_faults(f), 5);
	fixture_faults_reset(f);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(fixture_faults(f), 1);
	/* Of the thread itself: its section is broken and begins again. */
	fixture_invalidate(f);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(fixture_faults(f), 2);
	hmmu_port_end(port);
	use_all_of(f, port);
	assert_int_equal(is_all_ones(port, known), !is_own);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_of_another_layout_goes_out_of_line(void **state)
{
	const size_t own = sizeof(struct hmmu_port);

	(void)state;
	check_layout(HMMU_PORT_LAYOUT, own, true);
	check_layout(HMMU_PORT_LAYOUT + 1, own, false);
	check_layout(HMMU_PORT_LAYOUT + 1, 16 * own, false);
	check_layout(HMMU_PORT_LAYOUT + 1, own - 8, false);
	check_layout(0, offsetof(struct hmmu_port, large), false);
	check_layout(UINT32_MAX, own + 1, false);
	/* The same number, and another size: it can not be that one. */
	check_layout(HMMU_PORT_LAYOUT, own + 24, false);
}

static void test_port_layout_is_checked(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_device *d = f->device;
	struct hmmu_port *port = NULL;

	(void)state;
	assert_int_equal(hmmu__port_open_layout(d, 2, 39, &port), -EINVAL);
	assert_int_equal(hmmu__port_open_layout(d, 2, 0, &port), -EINVAL);
	assert_int_equal(hmmu__port_open_layout(d, 2, SIZE_MAX, &port),
			 -EINVAL);
	assert_int_equal(hmmu__port_open_layout(d, 2, 4096, NULL), -EINVAL);
	assert_int_equal(hmmu__port_open_layout(NULL, 2, 4096, &port), -EINVAL);
	assert_null(port);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: the children install the handler of the process. */
		cmocka_unit_test(test_port_signals_of_others_are_handed_on),
		cmocka_unit_test(
			test_port_loads_and_stores_what_the_mirror_says),
		cmocka_unit_test(test_port_access_crosses_pages),
		cmocka_unit_test(test_port_fault_is_a_value),
		cmocka_unit_test(test_port_report_only_resolves_nothing),
		cmocka_unit_test(
			test_port_small_leaves_that_lie_like_a_large_one),
		cmocka_unit_test(test_port_copies_any_length),
		cmocka_unit_test(test_port_atomics_of_each_size),
		cmocka_unit_test(test_port_span_rules),
		cmocka_unit_test(test_port_lost_memory_is_a_value),
		cmocka_unit_test(test_port_run_turns_a_signal_into_a_value),
		cmocka_unit_test(test_port_of_another_layout_goes_out_of_line),
		cmocka_unit_test(test_port_layout_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
