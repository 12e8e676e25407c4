/* SPDX-License-Identifier: MIT */
/* Sections of a port, and those who wait for them. */
#include "tests/unit/port_fixture.h"

/* Sections ------------------------------------------------------------------- */

static void test_port_invalidation_drops_the_tlb(void **state)
{
	struct fake *f = fake_create(1);
	struct hmmu_port *port = fake_open(f);
	unsigned char *second = pages_map(PAGE), *first = f->host;
	uint64_t v = 0;

	(void)state;
	first[0] = 1;
	second[0] = 2;
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 1);
	fake_invalidate(f);
	f->host = second;
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 2);
	fake_invalidate(f);
	f->host = first;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_end(port);
	assert_int_equal(v, 1);
	(void)munmap(second, PAGE);
	hmmu_port_close(port);
	fake_destroy(f);
}

static void test_port_invalidation_waits_for_the_section(void **state)
{
	struct fake *f = fake_create(1);
	struct hmmu_port *port = fake_open(f);
	struct helper h;
	uint64_t v = 0;

	(void)state;
	hmmu_port_begin(port);
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_store64(port, VA, 5), 0);
	helper_start(&h, f, fake_invalidate);
	while (!atomic_load(&f->ports.waiters_pending))
		hmmu__sched_yield();
	assert_false(helper_is_done_soon(&h));
	/* The translation lives as long as the section. */
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(atomic_load(&f->faults), 1);
	hmmu_port_end(port);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(port);
	helper_join(&h);
	assert_int_equal(atomic_load(&f->ports.waiters_pending), 0);
	hmmu_port_close(port);
	fake_destroy(f);
}

/* While the port is in a device fault; then lets that go on. */
static void invalidate_in_fault(struct fake *f)
{
	step_wait(&f->step, 1);
	fake_invalidate(f);
	f->stalls = false;
	step_set(&f->step, 2);
}

static void test_port_fault_in_a_section_does_not_block(void **state)
{
	struct fake *f = fake_create(2);
	struct hmmu_port *port = fake_open(f);
	struct helper h;
	uint64_t v = 7;

	(void)state;
	hmmu_port_begin(port);
	f->stalls = true;
	helper_start(&h, f, invalidate_in_fault);
	/* Without a span the section begins again behind the scenes. */
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(v, 0);
	helper_join(&h);
	assert_int_equal(port->broken, 0);
	hmmu_port_end(port);
	assert_int_equal(atomic_load(&f->ports.broken_count), 1);
	assert_int_equal(port->section % 2, 0);
	hmmu_port_close(port);
	fake_destroy(f);
}

static void test_port_broken_section_with_a_span_says_so(void **state)
{
	struct fake *f = fake_create(2);
	struct hmmu_port *port = fake_open(f);
	struct helper h;
	uint64_t v = 7, one = 1;
	size_t n;
	void *p;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 0);
	f->stalls = true;
	helper_start(&h, f, invalidate_in_fault);
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
	fake_destroy(f);
}

/* A slow path that fails must not leave the next section broken. */
static void
test_port_break_in_a_failing_fault_ends_with_the_section(void **state)
{
	struct fake *f = fake_create(2);
	struct hmmu_port *port = fake_open(f);
	struct helper h;
	uint64_t v;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	f->stalls = true;
	f->error = -EFAULT;
	helper_start(&h, f, invalidate_in_fault);
	assert_int_equal(hmmu_port_load64(port, VA + PAGE, &v), -EFAULT);
	helper_join(&h);
	hmmu_port_end(port);
	f->error = 0;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	helper_start(&h, f, fake_invalidate);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(port);
	helper_join(&h);
	hmmu_port_close(port);
	fake_destroy(f);
}

static void touch_as_owner(struct fake *f)
{
	hmmu__ports_break(&f->ports, f->step);
}

static void test_port_toucher_breaks_its_own_section(void **state)
{
	struct fake *f = fake_create(1);
	struct hmmu_port *port = fake_open(f);
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
	helper_start(&h, f, touch_as_owner);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	f->step = hmmu__thread_id();
	helper_start(&h, f, touch_as_owner);
	helper_join(&h);
	helper_start(&h, f, fake_invalidate);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), -EAGAIN);
	hmmu_port_end(port);
	/* No span: nothing to tell. */
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	helper_start(&h, f, touch_as_owner);
	helper_join(&h);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	assert_int_equal(port->broken, 0);
	hmmu_port_end(port);
	hmmu_port_close(port);
	fake_destroy(f);
}

static struct hmmu_port *lent;

static void begin_here(struct fake *f)
{
	hmmu_port_begin(lent);
	hmmu_port_end(lent);
	hmmu_port_begin(lent);
	f->step = hmmu__thread_id();
}

static void test_port_section_is_of_who_began_it(void **state)
{
	struct fake *f = fake_create(1);
	struct helper h;

	(void)state;
	lent = fake_open(f);
	hmmu_port_begin(lent);
	hmmu_port_end(lent);
	helper_start(&h, f, begin_here);
	helper_join(&h);
	hmmu__ports_break(&f->ports, hmmu__thread_id());
	assert_int_equal(lent->broken, 0);
	hmmu__ports_break(&f->ports, f->step);
	assert_int_equal(lent->broken, 1);
	hmmu_port_end(lent);
	hmmu_port_close(lent);
	fake_destroy(f);
}

static void test_port_own_invalidation_breaks_the_own_section(void **state)
{
	struct fake *f = fake_create(1);
	struct hmmu_port *port = fake_open(f);
	uint64_t v;
	size_t n;
	void *p;

	(void)state;
	hmmu_port_begin(port);
	assert_int_equal(hmmu_port_span(port, VA, 8, HMMU_ACCESS_READ, &p, &n),
			 0);
	fake_invalidate(f);
	assert_int_equal(hmmu_port_load64(port, VA, &v), -EAGAIN);
	hmmu_port_end(port);
	assert_int_equal(hmmu_port_load64(port, VA, &v), 0);
	hmmu_port_close(port);
	fake_destroy(f);
}

static void begin_and_end(struct fake *f)
{
	uint64_t v;

	(void)f;
	for (int i = 0; i < 2; i++) {
		hmmu_port_begin(lent);
		assert_int_equal(hmmu_port_load64(lent, VA, &v), 0);
		hmmu_port_end(lent);
	}
}

static void hold(struct fake *f)
{
	hmmu__ports_hold(&f->ports, NULL);
}

/* Of a port that another thread is using. */
static uint64_t section_of(const struct hmmu_port *port)
{
	return __atomic_load_n(&port->section, __ATOMIC_ACQUIRE);
}

static void test_port_hold_stops_sections(void **state)
{
	struct fake *f = fake_create(1);
	struct helper h, begin;

	(void)state;
	assert_true(hmmu__ports_idle(&f->ports));
	lent = fake_open(f);
	assert_false(hmmu__ports_idle(&f->ports));
	hmmu_port_begin(lent);
	helper_start(&h, f, hold);
	assert_false(helper_is_done_soon(&h));
	hmmu_port_end(lent);
	helper_join(&h);
	/* Twice held, twice released. */
	hmmu__ports_hold(&f->ports, NULL);
	helper_start(&begin, f, begin_and_end);
	assert_false(helper_is_done_soon(&begin));
	assert_int_equal(section_of(lent) % 2, 0);
	hmmu__ports_release(&f->ports);
	assert_false(helper_is_done_soon(&begin));
	hmmu__ports_release(&f->ports);
	helper_join(&begin);
	hmmu_port_close(lent);
	fake_destroy(f);
}

static void test_port_opened_under_a_hold_waits_too(void **state)
{
	struct fake *f = fake_create(1);
	struct helper begin;

	(void)state;
	hmmu__ports_hold(&f->ports, NULL);
	lent = fake_open(f);
	helper_start(&begin, f, begin_and_end);
	assert_false(helper_is_done_soon(&begin));
	hmmu__ports_release(&f->ports);
	helper_join(&begin);
	hmmu_port_close(lent);
	fake_destroy(f);
}

static _Atomic int warnings;

static void count_warning(void *arg, enum hmmu_log_level level,
			  const char *text)
{
	(void)arg;
	if (level == HMMU_LOG_WARN && strstr(text, "section"))
		atomic_fetch_add(&warnings, 1);
}

static _Atomic int helps;

static bool count_help(struct hmmu_mm *mm, uint64_t timeout_ns, int owner)
{
	(void)mm;
	(void)owner;
	atomic_fetch_add(&helps, 1);
	hmmu__sched_sleep(timeout_ns);
	return false;
}

static void invalidate_with_help(struct fake *f)
{
	static const struct hmmu_mm_ops ops = { .help = count_help };
	struct hmmu_mm mm = { .ops = &ops };

	fake_invalidate_with(f, &mm);
}

static void test_port_section_overdue_is_told_once(void **state)
{
	struct fake *f = fake_create(1);
	struct hmmu_port *port = fake_open(f);
	struct helper h;

	(void)state;
	hmmu_log_set(count_warning, NULL, HMMU_LOG_WARN);
	hmmu_port_begin(port);
	helper_start(&h, f, invalidate_with_help);
	hmmu__sched_sleep(1300000000u);
	hmmu_port_end(port);
	helper_join(&h);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	assert_int_equal(atomic_load(&warnings), 1);
	assert_int_equal(atomic_load(&f->ports.overdue_count), 1);
	assert_true(atomic_load(&helps) > 10);
	hmmu_port_close(port);
	fake_destroy(f);
}

/* Two pages take turns behind one address; the one that is not in use holds
 * POISON, which no port may ever see, and must keep it. */
#define POISON	    0x5050505050505050ull
#define STRESS_NS   1500000000u
#define STRESS_PORT 2

static _Atomic int stop;
static _Atomic int seen_poison;

static void stress_section(struct fake *f, struct hmmu_port *port, uint64_t i)
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

static void stress_reader(struct fake *f)
{
	struct hmmu_port *port = fake_open(f);

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

/* Returns false if a port wrote to the page that is out of use. */
static bool stress_swap(struct fake *f, unsigned char **other)
{
	unsigned char *old = f->host;
	bool is_clean;

	(void)pthread_mutex_lock(&f->lock);
	fake_invalidate(f);
	is_clean = page_is(*other, POISON);
	page_set(old, POISON);
	page_set(*other, 1);
	f->host = *other;
	*other = old;
	(void)pthread_mutex_unlock(&f->lock);
	return is_clean;
}

static void test_port_never_uses_memory_that_was_taken(void **state)
{
	struct fake *f = fake_create(1);
	unsigned char *first = f->host, *other = pages_map(PAGE);
	uint64_t end_ns = hmmu__sched_now_ns() + STRESS_NS;
	struct helper h[STRESS_PORT];
	unsigned int swaps = 0;

	(void)state;
	page_set(other, POISON);
	for (int i = 0; i < STRESS_PORT; i++)
		helper_start(&h[i], f, stress_reader);
	while (hmmu__sched_now_ns() < end_ns) {
		assert_true(stress_swap(f, &other));
		swaps++;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < STRESS_PORT; i++)
		helper_join(&h[i]);
	assert_int_equal(atomic_load(&seen_poison), 0);
	assert_true(page_is(other, POISON));
	assert_true(swaps > 20);
	other = f->host == first ? other : f->host;
	(void)munmap(other, PAGE);
	f->host = first;
	fake_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_invalidation_drops_the_tlb),
		cmocka_unit_test(test_port_invalidation_waits_for_the_section),
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
