/* SPDX-License-Identifier: MIT */
/*
 * Opcodes that move or read ranges
 *
 * Overview: a transfer consists of steps of at most HMMU_SOFT_STEP_BYTES. There
 * are two kinds of steps:
 *
 *   direct   one section with a span of each range; the work is done in place;
 *   staged   read the inputs into a buffer, do the work there, write the
 *            outputs: no section spans these calls.
 *
 * A direct step is fast. A staged step is exact: it returns how many bytes are
 * done when a page is missing in the middle, it makes progress although
 * sections are aborted again and again, it handles overlapping ranges, and it
 * reads a byte once even if the byte is used twice. So a step that fails
 * directly is repeated staged before it counts as a fault.
 *
 * The work of a step keeps no state. It reads the state of the transfer and
 * returns the result of the step, so it can be repeated.
 *
 * Locking: none. A step may sleep in a device fault.
 */
#include <errno.h>
#include <string.h>

#include "soft/crc32c.h"
#include "soft/descriptor.h"
#include "soft/state.h"
#include "soft/transfer.h"

#define STREAMS_MAX  3u
/* Aborted sections before a step is staged. */
#define DIRECT_TRIES 8u

struct step {
	size_t bytes;
	uint32_t crc;
	bool differs;
};

struct transfer;

/*
 * @inputs, @outputs: number of streams; inputs come first.
 * @staged:  no step is direct.
 * @work:    does @n bytes of a step on the streams at @host.
 */
struct transfer_kind {
	uint8_t inputs;
	uint8_t outputs;
	bool staged;
	void (*work)(const struct transfer *t, void *const host[], size_t n,
		     struct step *step);
};

/*
 * @done:   bytes that are done, from the start or, if @backward, from the end.
 * @want:   bytes of the current step.
 * @staged: no step is direct.
 * @step:   result of the current step.
 */
struct transfer {
	struct hmmu_soft_worker *worker;
	const struct transfer_kind *kind;
	uint64_t va[STREAMS_MAX];
	uint64_t pattern;
	size_t bytes;
	size_t done;
	size_t want;
	uint32_t crc;
	bool differs;
	bool backward;
	bool staged;
	struct step step;
};

static void work_copy(const struct transfer *t, void *const host[], size_t n,
		      struct step *step)
{
	(void)t;
	(void)step;
	if (host[1] != host[0])
		memcpy(host[1], host[0], n);
}

static void work_fill(const struct transfer *t, void *const host[], size_t n,
		      struct step *step)
{
	uint64_t pattern = hmmu__soft_turn_pattern(t->pattern, t->done);
	unsigned char *p = host[0];
	size_t i;

	(void)step;
	for (i = 0; i + sizeof(pattern) <= n; i += sizeof(pattern))
		memcpy(p + i, &pattern, sizeof(pattern));
	memcpy(p + i, &pattern, n - i);
}

static void set_difference(struct step *step, size_t offset, uint64_t bits)
{
	step->differs = true;
	step->bytes = offset + (unsigned int)__builtin_ctzll(bits) / 8;
}

static void work_compare(const struct transfer *t, void *const host[], size_t n,
			 struct step *step)
{
	const unsigned char *a = host[0], *b = host[1];
	uint64_t x = 0, y = 0;
	size_t i;

	(void)t;
	for (i = 0; i + sizeof(x) <= n; i += sizeof(x)) {
		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		if (x != y) {
			set_difference(step, i, x ^ y);
			return;
		}
	}
	/* The rest. The bytes of x and y above it are equal. */
	memcpy(&x, a + i, n - i);
	memcpy(&y, b + i, n - i);
	if (x != y)
		set_difference(step, i, x ^ y);
}

static void work_compare_pattern(const struct transfer *t, void *const host[],
				 size_t n, struct step *step)
{
	uint64_t pattern = hmmu__soft_turn_pattern(t->pattern, t->done),
		 x = pattern;
	const unsigned char *a = host[0];
	size_t i;

	for (i = 0; i + sizeof(x) <= n; i += sizeof(x)) {
		memcpy(&x, a + i, sizeof(x));
		if (x != pattern) {
			set_difference(step, i, x ^ pattern);
			return;
		}
	}
	memcpy(&x, a + i, n - i);
	if (x != pattern)
		set_difference(step, i, x ^ pattern);
}

static void work_crc(const struct transfer *t, void *const host[], size_t n,
		     struct step *step)
{
	step->crc = hmmu__crc32c(t->crc, host[0], n);
}

/*
 * Two kinds are never direct, because another thread may write the source
 * meanwhile: both destinations of a dualcast get the same bytes, and the CRC of
 * a copy is the CRC of the bytes written.
 */
/* clang-format off */
static const struct transfer_kind kind_move            = { 1, 1, false, work_copy };
static const struct transfer_kind kind_fill            = { 0, 1, false, work_fill };
static const struct transfer_kind kind_compare         = { 2, 0, false, work_compare };
static const struct transfer_kind kind_compare_pattern = { 1, 0, false, work_compare_pattern };
static const struct transfer_kind kind_crc             = { 1, 0, false, work_crc };
static const struct transfer_kind kind_dualcast        = { 1, 2, true,  work_copy };
static const struct transfer_kind kind_copy_crc        = { 1, 1, true,  work_crc };
/* clang-format on */

static const struct transfer_kind *kind_of(uint8_t opcode)
{
	switch (opcode) {
	case HMMU_SOFT_MEMMOVE:
		return &kind_move;
	case HMMU_SOFT_FILL:
		return &kind_fill;
	case HMMU_SOFT_COMPARE:
		return &kind_compare;
	case HMMU_SOFT_COMPARE_PATTERN:
		return &kind_compare_pattern;
	case HMMU_SOFT_DUALCAST:
		return &kind_dualcast;
	case HMMU_SOFT_CRC:
		return &kind_crc;
	default:
		HMMU_ASSERT(opcode == HMMU_SOFT_COPY_CRC);
		return &kind_copy_crc;
	}
}

static unsigned int streams_of(const struct transfer *t)
{
	return t->kind->inputs + t->kind->outputs;
}

static uintptr_t va_of(const struct transfer *t, unsigned int stream)
{
	if (t->backward)
		return t->va[stream] + t->bytes - t->done - t->want;
	return t->va[stream] + t->done;
}

static void do_work(struct transfer *t, void *const host[], size_t n)
{
	t->step = (struct step){ .bytes = n, .crc = t->crc };
	t->kind->work(t, host, n, &t->step);
}

static int get_span(struct transfer *t, unsigned int stream, void **ret_host,
		    size_t *bytes)
{
	size_t run = 0;
	int err;

	err = hmmu_port_span(t->worker->port, va_of(t, stream), *bytes,
			     stream < t->kind->inputs ? HMMU_ACCESS_READ :
							HMMU_ACCESS_WRITE,
			     ret_host, &run);
	if (!err)
		*bytes = hmmu_min(*bytes, run);
	return err;
}

/*
 * Called by hmmu_port_run(). A signal may abort the function anywhere, so the
 * results are in @arg. If the section was aborted during the work, the spans
 * may have been invalid: repeat the step.
 */
static int step_direct(struct hmmu_port *port, void *arg)
{
	struct transfer *t = arg;
	void *host[STREAMS_MAX];
	size_t n = t->want;
	unsigned int i;
	int err = 0;

	hmmu_port_begin(port);
	for (i = 0; i < streams_of(t) && !err; i++)
		err = get_span(t, i, &host[i], &n);
	if (!err) {
		do_work(t, host, n);
		if (__atomic_load_n(&port->broken, __ATOMIC_RELAXED))
			err = -EAGAIN;
	}
	hmmu_port_end(port);
	return err;
}

/*
 * Each input has a buffer of its own. Outputs use the first buffer: a copy
 * writes its input, and a fill has no input.
 */
static void bind_stage(const struct transfer *t, void *host[])
{
	unsigned int i;

	for (i = 0; i < streams_of(t); i++)
		host[i] = t->worker->stage[i < t->kind->inputs ? i : 0];
}

/* On return *@bytes bytes of every input have been read. */
static int read_inputs(struct transfer *t, void *const host[], size_t *bytes)
{
	unsigned int i;
	size_t done;
	int err;

	for (i = 0; i < t->kind->inputs; i++) {
		done = 0;
		err = hmmu_port_read(t->worker->port, va_of(t, i), host[i],
				     *bytes, &done);
		if (!err)
			continue;
		*bytes = done;
		if (!done)
			return err;
	}
	return 0;
}

/* On return *@bytes bytes of every output have been written. */
static int write_outputs(struct transfer *t, void *const host[], size_t *bytes)
{
	unsigned int i;
	size_t done;
	int err;

	for (i = t->kind->inputs; i < streams_of(t); i++) {
		done = 0;
		err = hmmu_port_write(t->worker->port, va_of(t, i), host[i],
				      *bytes, &done);
		if (!err)
			continue;
		*bytes = done;
		if (!done)
			return err;
	}
	return 0;
}

/*
 * A step that was done in part counts as a shorter step. The next step finds
 * the cause at its first byte and returns the error.
 */
static int step_staged(struct transfer *t)
{
	void *host[STREAMS_MAX];
	size_t n = t->want, out;
	int err;

	hmmu__soft_count(t->worker, HMMU_SOFT_COUNT_STAGED, 1);
	bind_stage(t, host);
	err = read_inputs(t, host, &n);
	if (err)
		return err;
	do_work(t, host, n);
	out = n;
	err = write_outputs(t, host, &out);
	if (err)
		return err;
	if (out < n)
		do_work(t, host, out);
	return 0;
}

static int step_once(struct transfer *t)
{
	unsigned int tries;
	int err;

	for (tries = 0; !t->staged && tries < DIRECT_TRIES; tries++) {
		err = hmmu_port_run(t->worker->port, step_direct, t);
		if (!err)
			return 0;
		if (err != -EAGAIN)
			break;
		hmmu__soft_count(t->worker, HMMU_SOFT_COUNT_RETRIED, 1);
	}
	return step_staged(t);
}

/* Bytes from the last page boundary before @end up to @end. */
static size_t bytes_back_to_page(uint64_t end)
{
	return (size_t)((end - 1) % HMMU_PAGE_BYTES) + 1;
}

/*
 * A backward step stays within one page of each range, so that it is done as a
 * whole or not at all: its first part would not adjoin the bytes done before.
 */
static size_t next_want(const struct transfer *t)
{
	size_t left = t->bytes - t->done;
	size_t want = hmmu_min(left, HMMU_SOFT_STEP_BYTES);
	unsigned int i;

	if (t->backward)
		for (i = 0; i < streams_of(t); i++)
			want = hmmu_min(want,
					bytes_back_to_page(t->va[i] + left));
	return want;
}

static int run_steps(struct transfer *t)
{
	int err;

	while (t->done < t->bytes && !t->differs) {
		t->want = next_want(t);
		err = step_once(t);
		if (err)
			return err;
		t->done += t->step.bytes;
		t->crc = t->step.crc;
		t->differs = t->step.differs;
	}
	return 0;
}

/* Set the streams' addresses: inputs first, then outputs. */
static void set_ranges(struct transfer *t, const struct hmmu_soft_descriptor *d)
{
	unsigned int n = 0;

	if (t->kind->inputs)
		t->va[n++] = d->src;
	if (streams_of(t) > n)
		t->va[n++] = d->dst;
	if (streams_of(t) > n)
		t->va[n++] = d->operand[0];
}

void hmmu__soft_transfer(struct hmmu_soft_worker *worker,
			 const struct hmmu_soft_descriptor *d,
			 struct hmmu_soft_record *record)
{
	struct transfer t = {
		.worker = worker,
		.kind = kind_of(d->opcode),
		.pattern = d->operand[0],
		.bytes = d->bytes,
		.crc = d->seed,
		.backward = hmmu__soft_is_backward(d),
	};
	int err;

	t.staged = t.kind->staged ||
		   (d->opcode == HMMU_SOFT_MEMMOVE &&
		    hmmu__soft_overlaps(d->src, d->dst, d->bytes));
	set_ranges(&t, d);
	err = run_steps(&t);
	hmmu__soft_set_status(worker, err, record);
	hmmu__soft_count(worker, HMMU_SOFT_COUNT_BYTES, t.done);
	record->bytes_completed = (uint32_t)t.done;
	record->value = t.crc;
	record->result = t.differs || (err && t.backward);
}

void hmmu__soft_set_status(struct hmmu_soft_worker *worker, int err,
			   struct hmmu_soft_record *record)
{
	struct hmmu_port_fault fault;

	if (!err) {
		record->status = HMMU_SOFT_SUCCESS;
		return;
	}
	hmmu_port_last_fault(worker->port, &fault);
	record->status = err == -ENOENT ? HMMU_SOFT_PAGE_FAULT :
					  HMMU_SOFT_ACCESS_FAULT;
	record->fault_write = fault.access == HMMU_ACCESS_WRITE;
	record->fault_errno = (uint8_t)-err;
	record->fault_address = fault.va;
}
