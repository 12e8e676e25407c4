/* SPDX-License-Identifier: MIT */
/*
 * Accesses of a device in this process: single loads through the TLB, and spans
 */
#include <sys/mman.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define ROUNDS	   31u
#define WORD_BYTES sizeof(uint64_t)

/* --- single loads ---------------------------------------------------------- */

/* Word by word, as the port does: no vector instructions. */
static uint64_t plain_loads(const uint64_t *p, size_t words)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < words; i++) {
		uint64_t word = p[i];

		__asm__ volatile("" : "+r"(word));
		sum += word;
	}
	return sum;
}

/* Returns 0 or an error. The whole run is one section. */
static int port_loads(struct hmmu_port *port, const uint64_t *p, size_t words,
		      uint64_t *ret_sum)
{
	uintptr_t va = (uintptr_t)p;
	uint64_t sum = 0;
	uint64_t word = 0;
	int err = 0;
	size_t i;

	hmmu_port_begin(port);
	for (i = 0; i < words && !err; i++, va += WORD_BYTES) {
		err = hmmu_port_load64(port, va, &word);
		sum += word;
	}
	hmmu_port_end(port);
	*ret_sum = sum;
	return err;
}

/* One measurement, ns per load; @port is NULL for the floor. */
static double loads_ns(struct bench_run *run, struct hmmu_port *port,
		       const uint64_t *p, size_t bytes)
{
	size_t words = bytes / WORD_BYTES;
	size_t passes = 1 + ((4ul << 20) / bytes);
	uint64_t begin = bench_now_ns();
	uint64_t sum;
	size_t i;

	for (i = 0; i < passes; i++) {
		if (port)
			bench_must(run, port_loads(port, p, words, &sum),
				   "hmmu_port_load64");
		else
			sum = plain_loads(p, words);
		bench_keep(sum);
	}
	return (double)(bench_now_ns() - begin) / (double)(words * passes);
}

static void load_case(struct bench_run *run, struct bench_device *d,
		      const char *label, const void *p, size_t bytes)
{
	struct bench_case *c = bench_case(run, "%s", label);
	struct hmmu_port *port;

	double floor[ROUNDS + 1], ours[ROUNDS + 1];
	size_t i;

	bench_must(run, hmmu_port_open(d->device, &port), "hmmu_port_open");
	/* Alternate, so that disturbances affect both sides. */
	for (i = 0; i <= ROUNDS; i++) {
		floor[i] = loads_ns(run, NULL, p, bytes);
		ours[i] = loads_ns(run, port, p, bytes);
	}
	c->floor = bench_median(floor + 1, ROUNDS);
	c->ours = bench_median(ours + 1, ROUNDS);
	bench_note(c, "%.2f ns over the floor", c->ours - c->floor);
	hmmu_port_close(port);
}

void bench_port_load_seq(struct bench_run *run)
{
	struct bench_device d;
	void *large, *small;

	bench_pin(run->cpu);
	large = bench_map(run, 64 * HMMU_LARGE_BYTES, BENCH_LARGE_PAGES);
	small = bench_map(run, 64 * HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	bench_device_open(run, &d, 0, 0);
	load_case(run, &d, "2 MiB entries, 256 KiB", large, 256 << 10);
	load_case(run, &d, "4 KiB entries, 256 KiB", small, 256 << 10);
	load_case(run, &d, "2 MiB entries, 128 MiB", large,
		  64 * HMMU_LARGE_BYTES);
	load_case(run, &d, "4 KiB entries, 128 MiB", small,
		  64 * HMMU_LARGE_BYTES);
	bench_device_close(&d);
}

/* --- spans ----------------------------------------------------------------- */

/*
 * Not inlined, so that both sides run the same loop. With four sums the memory
 * is the limit and not the additions.
 */
static __attribute__((noinline)) uint64_t sum_words(const uint64_t *p,
						    size_t words)
{
	uint64_t sum[4] = { 0 };
	size_t i;

	for (i = 0; i + 4 <= words; i += 4) {
		sum[0] += p[i];
		sum[1] += p[i + 1];
		sum[2] += p[i + 2];
		sum[3] += p[i + 3];
	}
	for (; i < words; i++)
		sum[0] += p[i];
	return sum[0] + sum[1] + sum[2] + sum[3];
}

/* A section for each span. Retries if a section is aborted. */
static int sum_spans(struct hmmu_port *port, uintptr_t va, size_t bytes,
		     uint64_t *sum)
{
	size_t run_bytes;
	void *host;
	int err;

	while (bytes) {
		hmmu_port_begin(port);
		err = hmmu_port_span(port, va, bytes, HMMU_ACCESS_READ, &host,
				     &run_bytes);
		if (!err) {
			*sum += sum_words(host, run_bytes / WORD_BYTES);
			va += run_bytes;
			bytes -= run_bytes;
		}
		hmmu_port_end(port);
		if (err && err != -EAGAIN)
			return err;
	}
	return 0;
}

/* GB/s of one pass; *@sum is its result. */
static double pass_gbs(struct bench_run *run, struct hmmu_port *port,
		       const void *p, size_t bytes, uint64_t *sum)
{
	uint64_t begin = bench_now_ns();

	*sum = 0;
	if (port)
		bench_must(run, sum_spans(port, (uintptr_t)p, bytes, sum),
			   "hmmu_port_span");
	else
		*sum = sum_words(p, bytes / WORD_BYTES);
	return (double)bytes / (double)(bench_now_ns() - begin);
}

/* Alternates, so that disturbances affect both sides. */
static void span_rounds(struct bench_device *d, struct hmmu_port *port,
			struct bench_case *c, const void *p, size_t bytes)
{
	bool is_away = d->memory != NULL;
	size_t rounds = d->run->quick ? 3 : 11;
	double floor[12], ours[12];
	uint64_t plain, spans;
	size_t i;

	for (i = 0; i <= rounds; i++) {
		floor[i] = pass_gbs(d->run, NULL, p, bytes, &plain);
		if (is_away)
			bench_to_device(d, p, bytes);
		/* The device faults after a migration are not measured. */
		bench_must(d->run,
			   hmmu_device_fault(d->device, (uintptr_t)p, bytes,
					     HMMU_ACCESS_READ),
			   "hmmu_device_fault");
		ours[i] = pass_gbs(d->run, port, p, bytes, &spans);
		if (is_away)
			bench_to_home(d, p, bytes);
		if (plain != spans)
			bench_fail(d->run, "the sums differ");
	}
	c->floor = bench_median(floor + 1, rounds);
	c->ours = bench_median(ours + 1, rounds);
}

static void span_case(struct bench_run *run, const char *label,
		      enum bench_pages pages, bool is_away)
{
	size_t bytes = run->quick ? BENCH_GIB / 8 : BENCH_GIB / 2;
	struct bench_case *c = bench_case(run, "%s", label);
	void *p = bench_map(run, bytes, pages);
	struct hmmu_port *port;
	struct bench_device d;

	bench_device_open(run, &d, is_away ? bytes : 0, 0);
	bench_must(run, hmmu_port_open(d.device, &port), "hmmu_port_open");
	span_rounds(&d, port, c, p, bytes);
	hmmu_port_close(port);
	bench_device_close(&d);
	bench_unmap(p, bytes);
}

void bench_port_span_bandwidth(struct bench_run *run)
{
	bench_pin(run->cpu);
	span_case(run, "system memory, large pages", BENCH_LARGE_PAGES, false);
	span_case(run, "system memory, small pages", BENCH_SMALL_PAGES, false);
	span_case(run, "device memory, large pages", BENCH_LARGE_PAGES, true);
}
