/* SPDX-License-Identifier: MIT */
/*
 * Comparison of the two arenas of a world, and reports of differences
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "differ.h"

/* Failing ------------------------------------------------------------------------ */

/* True if the range contains a part of the page of @at. */
static bool is_of_page(size_t at, size_t from, size_t bytes)
{
	return from < hmmu_round_down(at, PAGE) + PAGE &&
	       from + bytes > hmmu_round_down(at, PAGE);
}

/* Print operation @i: it is recent, or concerns the page of @at. */
static bool is_told(const struct differ_world *w, uint64_t i, size_t at)
{
	const struct differ_op *op = &w->last[i % DIFFER_KEPT];

	return i + DIFFER_LAST > w->count ||
	       (at != SIZE_MAX &&
		(is_of_page(at, op->at, op->bytes) ||
		 is_of_page(at, op->to,
			    hmmu_max(op->to_bytes, op->to ? op->bytes : 0))));
}

static void print_last(const struct differ_world *w, size_t at)
{
	uint64_t i = w->count < DIFFER_KEPT ? 0 : w->count - DIFFER_KEPT + 1;
	char text[200], line[256];

	for (; i <= w->count; i++) {
		if (!is_told(w, i, at))
			continue;
		differ_describe(&w->last[i % DIFFER_KEPT], text, sizeof(text));
		snprintf(line, sizeof(line), "%llu: %s\n",
			 (unsigned long long)i, text);
		(void)!write(STDOUT_FILENO, line, strlen(line));
	}
}

void differ_fail(struct differ_world *w, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	print_last(w, w->fails_at);
	hmmu_test_fail(__FILE__, __LINE__,
		       "seed %llu, world %u, operation %llu%s: %s",
		       (unsigned long long)differ_seed, w->index,
		       (unsigned long long)w->count,
		       w->is_child ? " in a child" : "", text);
}

void differ_same(struct differ_world *w, const struct differ_outcome *managed,
		 const struct differ_outcome *plain)
{
	if (managed->ret != plain->ret)
		differ_fail(w, "returned %ld, and %ld for plain memory",
			    managed->ret, plain->ret);
	if (managed->signal != plain->signal || managed->code != plain->code ||
	    managed->page != plain->page)
		differ_fail(w,
			    "signal %d code %d page 0x%zx, and %d, %d, 0x%zx "
			    "for plain memory",
			    managed->signal, managed->code, managed->page,
			    plain->signal, plain->code, plain->page);
}

/* Mappings ------------------------------------------------------------------------ */

static const char *hex(const char *p, uintptr_t *value)
{
	for (*value = 0;; p++) {
		if (*p >= '0' && *p <= '9')
			*value = *value * 16 + (uintptr_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			*value = *value * 16 + (uintptr_t)(*p - 'a' + 10);
		else
			return p;
	}
}

/* "START-END PERMS OFFSET DEVICE INODE ..." */
static void add_map(struct differ_world *w, const char *line)
{
	uintptr_t start, end, offset, inode = 0;
	unsigned int side;
	const char *perms, *p;

	p = hex(line, &start);
	perms = hex(p + 1, &end) + 1;
	p = hex(perms + 5, &offset);
	p = strchr(p + 1, ' ');
	if (p)
		hex(p + 1, &inode);
	for (side = 0; side < DIFFER_SIDES; side++) {
		uintptr_t base = (uintptr_t)w->base[side];
		struct differ_maps *m = &w->maps[side];
		struct differ_map *map = &m->map[m->count];

		if (end <= base || start >= base + DIFFER_BYTES)
			continue;
		HMMU_CHECK(++m->count < DIFFER_MAPS);
		map->start = start > base ? start - base : 0;
		map->end = hmmu_min(end - base, DIFFER_BYTES);
		map->inode = inode;
		map->offset = offset + (start < base ? base - start : 0);
		memcpy(map->perms, perms, sizeof(map->perms));
	}
}

/* The arenas are at low addresses, so their lines come first. */
static bool is_behind(const char *line)
{
	uintptr_t start;

	hex(line, &start);
	return start >= (uintptr_t)differ_worlds[0].base[DIFFER_PLAIN] + LARGE +
				DIFFER_WORLDS * (DIFFER_BYTES + PAGE);
}

void differ_read_maps(struct differ_world *w)
{
	char text[8192], *line, *end;
	size_t used = 0;
	ssize_t got;
	int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	bool done = false;

	HMMU_CHECK(file >= 0);
	w->maps[0].count = w->maps[1].count = 0;
	while (!done &&
	       (got = read(file, text + used, sizeof(text) - used - 1)) > 0) {
		used += (size_t)got;
		text[used] = '\0';
		for (line = text; !done && (end = strchr(line, '\n'));
		     line = end + 1) {
			*end = '\0';
			add_map(w, line);
			done = is_behind(line);
		}
		used -= (size_t)(line - text);
		memmove(text, line, used);
	}
	close(file);
}

/* The run of adjacent mappings with equal permissions from *@i on. */
static bool next_run(const struct differ_maps *m, size_t *i,
		     struct differ_map *run)
{
	if (*i == m->count)
		return false;
	*run = m->map[(*i)++];
	while (*i < m->count && m->map[*i].start <= run->end &&
	       !memcmp(m->map[*i].perms, run->perms, sizeof(run->perms)))
		run->end = hmmu_max(run->end, m->map[(*i)++].end);
	return true;
}

void differ_compare_maps(struct differ_world *w)
{
	struct differ_map a, b;
	size_t i = 0, j = 0;
	bool more_a, more_b;

	differ_read_maps(w);
	do {
		a = b = (struct differ_map){ 0 };
		more_a = next_run(&w->maps[DIFFER_MANAGED], &i, &a);
		more_b = next_run(&w->maps[DIFFER_PLAIN], &j, &b);
		if (a.start != b.start || a.end != b.end ||
		    memcmp(a.perms, b.perms, sizeof(a.perms)) != 0)
			differ_fail(w,
				    "mapping 0x%zx-0x%zx %.4s, and 0x%zx-0x%zx "
				    "%.4s of plain memory",
				    a.start, a.end, a.perms, b.start, b.end,
				    b.perms);
	} while (more_a && more_b);
}

const struct differ_map *differ_find_map(const struct differ_world *w,
					 enum differ_side side, size_t at)
{
	const struct differ_maps *m = &w->maps[side];
	size_t i;

	for (i = 0; i < m->count && m->map[i].start <= at; i++)
		if (at < m->map[i].end)
			return &m->map[i];
	return NULL;
}

const struct differ_map *differ_map_at(const struct differ_world *w, size_t at)
{
	return differ_find_map(w, DIFFER_PLAIN, at);
}

/* Marks ---------------------------------------------------------------------------- */

static size_t page_end(size_t at, size_t bytes)
{
	return hmmu_min(hmmu_round_up(at + bytes, PAGE) / PAGE, DIFFER_PAGES);
}

bool differ_any(const struct differ_world *w, size_t at, size_t bytes,
		unsigned int bit)
{
	size_t page;

	for (page = at / PAGE; page < page_end(at, bytes); page++)
		if (w->page[page] & bit)
			return true;
	return false;
}

void differ_mark(struct differ_world *w, size_t at, size_t bytes,
		 unsigned int set, unsigned int clear)
{
	size_t page;

	for (page = at / PAGE; page < page_end(at, bytes); page++)
		w->page[page] = (uint8_t)((w->page[page] & ~clear) | set);
}

static bool is_zero(const uint8_t *p, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

/* After this the kernel does not discard the page. */
static bool hold_page(struct differ_world *w, enum differ_side side,
		      size_t page)
{
	return differ_touch(w, side, page * PAGE) &&
	       !differ_access(w, side, page * PAGE, w->buffer[side], PAGE,
			      false)
			.signal;
}

static void settle_page(struct differ_world *w, size_t page)
{
	uint8_t *managed = w->buffer[DIFFER_MANAGED];
	uint8_t *plain = w->buffer[DIFFER_PLAIN];

	if (!hold_page(w, DIFFER_MANAGED, page) ||
	    !hold_page(w, DIFFER_PLAIN, page))
		return;
	differ_same_bytes(w, page * PAGE, managed, plain, PAGE);
	if (memcmp(managed, plain, PAGE) != 0)
		(void)differ_access(w, DIFFER_PLAIN, page * PAGE, managed, PAGE,
				    true);
	w->page[page] &= (uint8_t)~DIFFER_LAZY;
}

/* Memory that the CPU may write it may also read. */
void differ_settle(struct differ_world *w, size_t at, size_t bytes)
{
	const struct differ_map *map;
	size_t page;

	for (page = at / PAGE; page < page_end(at, bytes); page++) {
		if (!(w->page[page] & DIFFER_LAZY))
			continue;
		map = differ_map_at(w, page * PAGE);
		if (map && map->perms[1] == 'w')
			settle_page(w, page);
	}
}

/* Bytes ---------------------------------------------------------------------------- */

/* Report a difference with details. */
static void bytes_differ(struct differ_world *w, size_t at,
			 const uint8_t *managed, const uint8_t *plain,
			 size_t bytes)
{
	size_t first = 0, count = 0, i;
	uint8_t again = 0;

	for (i = bytes; i-- > 0;)
		if (managed[i] != plain[i]) {
			first = i;
			count++;
		}
	w->fails_at = at + first;
	(void)differ_access(w, DIFFER_MANAGED, at + first, &again, 1, false);
	differ_fail(
		w,
		"byte 0x%zx (%p) is 0x%02x, read by %s, and 0x%02x in plain "
		"memory; by the CPU again 0x%02x; %zu of %zu differ; %s, %s, %s",
		at + first, (void *)(w->base[DIFFER_MANAGED] + at + first),
		managed[first], w->read_by_device ? "the device" : "the CPU",
		plain[first], again, count, bytes,
		is_zero(managed, bytes) ? "managed is zero" :
					  "managed is not zero",
		is_zero(plain, bytes) ? "plain is zero" : "plain is not zero",
		w->page[(at + first) / PAGE] & DIFFER_LAZY ? "lazy" :
							     "not lazy");
}

/* The bytes are within one page. */
static void same_in_page(struct differ_world *w, size_t at,
			 const uint8_t *managed, const uint8_t *plain,
			 size_t bytes)
{
	if (memcmp(managed, plain, bytes) == 0)
		return;
	if (w->page[at / PAGE] & DIFFER_LAZY &&
	    (is_zero(managed, bytes) || is_zero(plain, bytes)))
		return;
	bytes_differ(w, at, managed, plain, bytes);
}

void differ_same_bytes(struct differ_world *w, size_t at,
		       const uint8_t *managed, const uint8_t *plain,
		       size_t bytes)
{
	size_t done, n;

	if (memcmp(managed, plain, bytes) == 0)
		return;
	for (done = 0; done < bytes; done += n) {
		n = hmmu_min(PAGE - (at + done) % PAGE, bytes - done);
		same_in_page(w, at + done, managed + done, plain + done, n);
	}
}

/* Returns the number of bytes compared, up to a page that cannot be read. */
static size_t compare_piece(struct differ_world *w, size_t at, size_t bytes,
			    bool by_port)
{
	uint8_t *managed = w->buffer[DIFFER_MANAGED];
	uint8_t *plain = w->buffer[DIFFER_PLAIN];
	struct differ_outcome a, b;
	int err;

	b = differ_access(w, DIFFER_PLAIN, at, plain, bytes, false);
	if (by_port) {
		a = b;
		a.ret = (long)differ_port_read(w, at, managed, bytes, &err);
	} else {
		a = differ_access(w, DIFFER_MANAGED, at, managed, bytes, false);
	}
	if (a.ret != b.ret) {
		w->fails_at = at + (size_t)hmmu_min(a.ret, b.ret);
		differ_fail(w,
			    "from 0x%zx on 0x%lx of 0x%zx bytes can be read "
			    "by %s, and 0x%lx of plain memory",
			    at, a.ret, bytes,
			    by_port ? "the device" : "the CPU", b.ret);
	}
	differ_same(w, &a, &b);
	w->read_by_device = by_port;
	differ_same_bytes(w, at, managed, plain, (size_t)b.ret);
	w->read_by_device = false;
	return b.signal ?
		       hmmu_round_down(at + (size_t)b.ret, PAGE) + PAGE - at :
		       bytes;
}

/* Compare one byte of a mapping that is not readable, or of a hole. */
static void compare_refused(struct differ_world *w, size_t at)
{
	struct differ_outcome o[DIFFER_SIDES];
	unsigned int side;

	for (side = 0; side < DIFFER_SIDES; side++)
		o[side] = differ_access(w, side, at, w->buffer[side], 1, false);
	differ_same(w, &o[DIFFER_MANAGED], &o[DIFFER_PLAIN]);
}

/* Compare from @at to the end of its mapping or hole, at most to @end. */
static size_t compare_part(struct differ_world *w, size_t at, size_t end,
			   bool by_port)
{
	const struct differ_map *map = differ_map_at(w, at);
	size_t stop = map ? hmmu_min(map->end, end) :
			    hmmu_min(hmmu_round_down(at, PAGE) + PAGE, end);

	if (!map || map->perms[0] != 'r') {
		compare_refused(w, at);
		return stop;
	}
	while (at < stop)
		at += compare_piece(w, at,
				    hmmu_min(stop - at, DIFFER_BUFFER_BYTES),
				    by_port);
	return stop;
}

void differ_compare_bytes(struct differ_world *w, size_t at, size_t bytes,
			  bool by_port)
{
	size_t end = at + bytes;

	while (at < end)
		at = compare_part(w, at, end, by_port && !w->is_child);
}

void differ_compare_all(struct differ_world *w, bool by_port)
{
	differ_compare_maps(w);
	differ_compare_bytes(w, 0, DIFFER_BYTES, by_port);
}
