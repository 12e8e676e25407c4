/* SPDX-License-Identifier: MIT */
/* Sections of a port, and those who wait for them. */
#include "tests/unit/port_fixture.h"

/* Sections ------------------------------------------------------------------- */

static void test_port_invalidation_drops_the_tlb(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v = 0;

	(void)state;
	f->host[0] = 1;
	f->host[PAGE] = 2;
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 1);
	array_exchange(core.m, VA);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 2);
	array_exchange(core.m, VA);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_end(port);
	assert_int_equal(v, 1);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void check_waits_for_the_section(struct fixture *f)
{
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	uint64_t v = 0;

	hmmu_port_begin(port);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_store64(port, VA, 5), 0);
	helper_start(&h, fixture_invalidate, f);
	while (!atomic_load(&f->ports->waiters_pending))
		hmmu__sched_yield();
	assert_false(helper_is_done_soon(&h));
	/* The translation lives as long as the section. */
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(fixture_faults(f), 1);
	hmmu_port_end(port);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(port);
	helper_join(&h);
	assert_int_equal(atomic_load(&f->ports->waiters_pending), 0);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_invalidation_waits_for_the_section(void **state)
{
	(void)state;
	check_waits_for_the_section(fixture_create(1));
}

static void test_port_invalidation_waits_without_help(void **state)
{
	(void)state;
	check_waits_for_the_section(
		fixture_create_on(array_create_required(), 1));
}

/* While the port is in a device fault; then lets that go on. */
static void invalidate_in_fault(void *arg)
{
	struct fixture *f = arg;

	step_wait(&f->step, 1);
	fixture_invalidate(f);
	step_set(&f->step, 2);
}

static void test_port_fault_in_a_section_does_not_block(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	uint64_t v = 7;

	(void)state;
	/* Something to be invalidated. */
	fixture_map(f, VA + PAGE);
	hmmu_port_begin(port);
	fixture_stall_fault(f);
	helper_start(&h, invalidate_in_fault, f);
	/* Without a span the section begins again behind the scenes. */
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 0);
	helper_join(&h);
	assert_int_equal(port->broken, 0);
	hmmu_port_end(port);
	assert_int_equal(atomic_load(&f->ports->broken_count), 1);
	assert_int_equal(port->section % 2, 0);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void test_port_broken_section_with_a_span_says_so(void **state)
{
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	uint64_t v = 7, one = 1;
	size_t n;
	void *p;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 0);
	fixture_stall_fault(f);
	helper_start(&h, invalidate_in_fault, f);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), -EAGAIN);
	helper_join(&h);
	/* From everything, until the end. */
	assert_int_not_equal(port->broken, 0);
	assert_int_equal(hmmu_port_load64(port, VA, &v), -EAGAIN);
	assert_int_equal(hmmu_port_store64(port, VA, v), -EAGAIN);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 -EAGAIN);
	assert_int_equal(hmmu_port_read(port, VA, &v, 8, &n), -EAGAIN);
	assert_int_equal(n, 0);
	assert_int_equal(hmmu_port_compare_exchange(port, VA, 8, &v, &one),
			 -EAGAIN);
	assert_int_equal(v, 7);
	hmmu_port_end(port);
	assert_int_equal(port->broken, 0);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* A slow path that fails must not leave the next section broken. */
static void
test_port_break_in_a_failing_fault_ends_with_the_section(void **state)
{
	const struct array_failure fails = { .times = 1, .err = -EFAULT };
	struct fixture *f = fixture_create(2);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	uint64_t v;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	fixture_stall_fault(f);
	array_fail(core.m, ARRAY_SNAPSHOT, &fails);
	helper_start(&h, invalidate_in_fault, f);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), -EFAULT);
	helper_join(&h);
	hmmu_port_end(port);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	helper_start(&h, fixture_invalidate, f);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(port);
	helper_join(&h);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void touch_as_owner(void *arg)
{
	struct fixture *f = arg;

	hmmu__ports_break(f->ports, f->step);
}

static void test_port_toucher_breaks_its_own_section(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;
	uint64_t v;
	size_t n;
	void *p;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 0);
	/* Somebody else's fault is none of this port's. */
	f->step = hmmu__thread_id() + 1;
	helper_start(&h, touch_as_owner, f);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	f->step = hmmu__thread_id();
	helper_start(&h, touch_as_owner, f);
	helper_join(&h);
	helper_start(&h, fixture_invalidate, f);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), -EAGAIN);
	hmmu_port_end(port);
	/* No span: nothing to tell. */
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	helper_start(&h, touch_as_owner, f);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(port->broken, 0);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static struct hmmu_port *lent;

static void begin_here(void *arg)
{
	struct fixture *f = arg;

	hmmu_port_begin(lent);
	hmmu_port_end(lent);
	hmmu_port_begin(lent);
	f->step = hmmu__thread_id();
}

static void test_port_section_is_of_who_began_it(void **state)
{
	struct fixture *f = fixture_create(1);
	struct helper h;

	(void)state;
	lent = fixture_open(f);
	hmmu_port_begin(lent);
	hmmu_port_end(lent);
	helper_start(&h, begin_here, f);
	helper_join(&h);
	hmmu__ports_break(f->ports, hmmu__thread_id());
	assert_int_equal(lent->broken, 0);
	hmmu__ports_break(f->ports, f->step);
	assert_int_equal(lent->broken, 1);
	hmmu_port_end(lent);
	hmmu_port_close(lent);
	fixture_destroy(f);
}

static void test_port_own_invalidation_breaks_the_own_section(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	uint64_t v;
	size_t n;
	void *p;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 0);
	fixture_invalidate(f);
	assert_int_equal(hmmu_port_load64(port, VA, &v), -EAGAIN);
	hmmu_port_end(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_close(port);
	fixture_destroy(f);
}

static void begin_and_end(void *arg)
{
	uint64_t v;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		hmmu_port_begin(lent);
		assert_int_equal(hmmu_port_load64(lent, VA, &v), 0);
		hmmu_port_end(lent);
	}
}

static void hold(void *arg)
{
	(void)arg;
	hmmu__core_ports_hold(core.space);
}

/* Of a port that another thread is using. */
static uint64_t section_of(const struct hmmu_port *port)
{
	return __atomic_load_n(&port->section, __ATOMIC_ACQUIRE);
}

static void test_port_hold_stops_sections(void **state)
{
	struct fixture *f = fixture_create(1);
	struct helper h, begin;

	(void)state;
	assert_true(hmmu__core_ports_idle(core.space));
	lent = fixture_open(f);
	assert_false(hmmu__core_ports_idle(core.space));
	hmmu_port_begin(lent);
	helper_start(&h, hold, f);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(lent);
	helper_join(&h);
	/* Twice held, twice released. */
	hmmu__core_ports_hold(core.space);
	helper_start(&begin, begin_and_end, f);
	assert_false(helper_is_done_soon(&begin));
	assert_int_equal(section_of(lent) % 2, 0);
	hmmu__core_ports_release(core.space);
	assert_false(helper_is_done_soon(&begin));
	hmmu__core_ports_release(core.space);
	helper_join(&begin);
	hmmu_port_close(lent);
	fixture_destroy(f);
}

static void test_port_opened_under_a_hold_waits_too(void **state)
{
	struct fixture *f = fixture_create(1);
	struct helper begin;

	(void)state;
	hmmu__core_ports_hold(core.space);
	lent = fixture_open(f);
	helper_start(&begin, begin_and_end, f);
	assert_false(helper_is_done_soon(&begin));
	hmmu__core_ports_release(core.space);
	helper_join(&begin);
	hmmu_port_close(lent);
	fixture_destroy(f);
}

static _Atomic int warnings;

static void count_warning(void *arg, enum hmmu_log_level level,
			  const char *text)
{
	(void)arg;
	if (level == HMMU_LOG_WARN && strstr(text, "section"))
		atomic_fetch_add(&warnings, 1);
}

static void test_port_section_overdue_is_told_once(void **state)
{
	struct fixture *f = fixture_create(1);
	struct hmmu_port *port = fixture_open(f);
	struct helper h;

	(void)state;
	hmmu_log_set(count_warning, NULL, HMMU_LOG_WARN);
	fixture_map(f, VA);
	hmmu_port_begin(port);
	helper_start(&h, fixture_invalidate, f);
	hmmu__sched_sleep(1300000000u);
	hmmu_port_end(port);
	helper_join(&h);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	assert_int_equal(atomic_load(&warnings), 1);
	assert_int_equal(atomic_load(&f->ports->overdue_count), 1);
	assert_true(array_calls(core.m, ARRAY_HELP) > 10);
	hmmu_port_close(port);
	fixture_destroy(f);
}

/* Two pages take turns behind one address; the one that is not in use holds
 * POISON, which no port may ever see, and must keep it. */
#define POISON	    0x5050505050505050ull
#define STRESS_NS   1500000000u
#define STRESS_PORT 2

static _Atomic int stop;
static _Atomic int seen_poison;

static void stress_section(struct fixture *f, struct hmmu_port *port,
			   uint64_t i)
{
	uint64_t v = 0;
	size_t n;
	void *p;

	(void)f;
	hmmu_port_begin(port);
	if (i % 4 == 0 &&
	    hmmu_port_span(port, VA + 8, 8, HMMU_ACCESS_READ, &p, &n) == 0) {
		__asm__ volatile("movq (%1), %0" : "=r"(v) : "r"(p) : "memory");
	} else if (hmmu_port_load64(port, VA + 8 * (i % 512), &v) == 0 &&
		   i % 2) {
		(void)!hmmu_port_store64(port, VA + 8 * (i % 512), i & 0xffff);
	}
	if (v == POISON && !port->broken)
		atomic_fetch_add(&seen_poison, 1);
	hmmu_port_end(port);
}

static void stress_reader(void *arg)
{
	struct fixture *f = arg;
	struct hmmu_port *port = fixture_open(f);

	for (uint64_t i = 0; !atomic_load(&stop); i++)
		stress_section(f, port, i);
	hmmu_port_close(port);
}

HMMU_NO_SANITIZE_THREAD static void page_set(unsigned char *page, uint64_t v)
{
	volatile uint64_t *p = (volatile uint64_t *)(void *)page;

	for (size_t i = 0; i < PAGE / 8; i++)
		p[i] = v;
}

HMMU_NO_SANITIZE_THREAD static bool page_is(const unsigned char *page,
					    uint64_t v)
{
	const volatile uint64_t *p =
		(const volatile uint64_t *)(const void *)page;

	for (size_t i = 0; i < PAGE / 8; i++)
		if (p[i] != v)
			return false;
	return true;
}

/* The page at VA holds POISON: false if a port wrote to it. */
static void stress_swap_here(void *arg)
{
	unsigned char *now = array_host(core.m, VA);
	bool *is_clean = arg;

	*is_clean = page_is(now, POISON);
	page_set(array_host(core.m, VA + PAGE), POISON);
	page_set(now, 1);
}

static bool stress_swap(void)
{
	bool is_clean = false;

	array_on(core.m, ARRAY_CHANGED, 1, stress_swap_here, &is_clean);
	array_exchange(core.m, VA);
	return is_clean;
}

static void test_port_never_uses_memory_that_was_taken(void **state)
{
	struct fixture *f = fixture_create(2);
	uint64_t end_ns = hmmu__sched_now_ns() + STRESS_NS;
	struct helper h[STRESS_PORT];
	unsigned int swaps = 0;

	(void)state;
	page_set(f->host + PAGE, POISON);
	for (int i = 0; i < STRESS_PORT; i++)
		helper_start(&h[i], stress_reader, f);
	while (hmmu__sched_now_ns() < end_ns) {
		assert_true(stress_swap());
		swaps++;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < STRESS_PORT; i++)
		helper_join(&h[i]);
	assert_int_equal(atomic_load(&seen_poison), 0);
	assert_true(page_is(array_host(core.m, VA + PAGE), POISON));
	assert_true(swaps > 20);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_invalidation_drops_the_tlb),
		cmocka_unit_test(test_port_invalidation_waits_for_the_section),
		cmocka_unit_test(test_port_invalidation_waits_without_help),
		cmocka_unit_test(test_port_fault_in_a_section_does_not_block),
		cmocka_unit_test(test_port_broken_section_with_a_span_says_so),
		cmocka_unit_test(
			test_port_break_in_a_failing_fault_ends_with_the_section),
		cmocka_unit_test(test_port_toucher_breaks_its_own_section),
		cmocka_unit_test(test_port_section_is_of_who_began_it),
		cmocka_unit_test(
			test_port_own_invalidation_breaks_the_own_section),
		cmocka_unit_test(test_port_hold_stops_sections),
		cmocka_unit_test(test_port_opened_under_a_hold_waits_too),
		cmocka_unit_test(test_port_section_overdue_is_told_once),
		cmocka_unit_test(test_port_never_uses_memory_that_was_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
