/* SPDX-License-Identifier: MIT */
/*
 * Operations of the device, and actors that migrate and read at the same time
 *
 * The plain arena shows what the device may access: mappings that are readable
 * (RF14), or readable and writable, if the CPU can read the page.
 */
#include <hmmu/soft.h>

#include "differ.h"

enum {
	TAKERS = 2,
	READERS = 1,
	ACTORS = TAKERS + READERS,
	/* Less than all memory, so that some pages do not fit. */
	POOL_BLOCKS = 8,
};

struct actor {
	void (*act)(struct actor *a);
	uint64_t random;
	uint64_t done;
	struct hmmu_port *port;
	pthread_t thread;
};

static struct actor actors[ACTORS];
static struct hmmu_soft *soft;
static struct hmmu_soft_queue *queue;

static uintptr_t managed(const struct differ_world *w, size_t at)
{
	return (uintptr_t)w->base[DIFFER_MANAGED] + at;
}

/* Moving ------------------------------------------------------------------------- */

static void to_device(uintptr_t start, uintptr_t end)
{
	HMMU_CHECK_OK(
		hmmu_device_migrate(live_device, start, end - start, NULL));
}

static void exclusive(uintptr_t start, uintptr_t end)
{
	int err = live_make_exclusive(live_device, (void *)start, end - start,
				      NULL);

	HMMU_CHECK(!err || err == -EFAULT || err == -EOPNOTSUPP ||
		   err == -EBUSY);
}

static void home(uintptr_t start, uintptr_t end)
{
	int err = hmmu_migrate_to_system(live_space, start, end - start, NULL);

	HMMU_CHECK(!err || err == -EBUSY);
}

static void evict(void)
{
	int err = hmmu_migrate_evict(live_device, NULL);

	HMMU_CHECK(!err || err == -EBUSY);
}

void differ_bring_home(struct differ_world *w, size_t at, size_t bytes)
{
	uintptr_t start = managed(w, hmmu_round_down(at, PAGE));
	uintptr_t end = managed(w, hmmu_round_up(at + bytes, PAGE));
	int err;

	do
		err = hmmu_migrate_to_system(live_space, start, end - start,
					     NULL);
	while (err == -EBUSY);
	HMMU_CHECK_OK(err);
}

void differ_make_resident(struct differ_world *w, size_t at, size_t bytes)
{
	uintptr_t start = managed(w, hmmu_round_down(at, PAGE));
	uintptr_t end = managed(w, hmmu_round_up(at + bytes, PAGE));
	int err;

	do
		err = hmmu_populate(live_space, start, end - start);
	while (err == -EBUSY);
	HMMU_CHECK(!err || err == -EFAULT);
	/* The CPU can read some pages whose mapping is not readable. */
	for (; err && at < end - managed(w, 0); at += PAGE)
		(void)differ_access(w, DIFFER_MANAGED, at, w->buffer[0], 1,
				    false);
}

static void move(struct differ_world *w, const struct differ_op *op)
{
	uintptr_t start = managed(w, op->at);
	uintptr_t end = managed(w, hmmu_round_up(op->at + op->bytes, PAGE));

	HMMU_CHECK_OK(-pthread_rwlock_rdlock(&differ_takers));
	if (op->kind == DIFFER_TO_DEVICE)
		to_device(start, end);
	else if (op->kind == DIFFER_HOME)
		home(start, end);
	else if (op->kind == DIFFER_EVICT)
		evict();
	else
		exclusive(start, start + PAGE);
	HMMU_CHECK_OK(-pthread_rwlock_unlock(&differ_takers));
}

/* Accessible memory -------------------------------------------------------------------- */

/* The number of bytes from @at that the device can read, or write. */
static size_t reachable(struct differ_world *w, size_t at, size_t bytes,
			bool write)
{
	const struct differ_map *map;
	struct differ_outcome o;
	size_t done, n;
	uint8_t byte;

	for (done = 0; done < bytes; done += n) {
		n = hmmu_min(PAGE - (at + done) % PAGE, bytes - done);
		map = differ_map_at(w, at + done);
		if (!map || map->perms[0] != 'r' ||
		    (write && map->perms[1] != 'w'))
			break;
		o = differ_access(w, DIFFER_PLAIN, at + done, &byte, 1, false);
		if (o.signal)
			break;
	}
	return hmmu_min(done, bytes);
}

/*
 * The device may have more access than the mapping allows. Migrate such pages
 * to system memory, after which the device's access is checked again. Returns
 * false if the CPU itself has more access than the mapping shows.
 */
static bool refresh(struct differ_world *w, size_t at, size_t bytes)
{
	const struct differ_map *map;
	size_t page;

	if (!differ_any(w, at, bytes, DIFFER_STALE))
		return true;
	for (page = at / PAGE; page * PAGE < at + bytes; page++) {
		map = differ_map_at(w, page * PAGE);
		if (map && map->perms[0] != 'r' &&
		    (map->perms[1] == 'w' || map->perms[2] == 'x'))
			return false;
	}
	differ_bring_home(w, at, bytes);
	differ_mark(w, at, bytes, 0, DIFFER_STALE);
	return true;
}

/*
 * A write fault copies a page of a private file mapping. A fault that fails
 * does not report how many pages it has copied, so copy all of them on both
 * sides.
 */
static void own_files(struct differ_world *w, size_t at, size_t bytes)
{
	const struct differ_map *map;
	size_t page;

	for (page = at / PAGE; page * PAGE < at + bytes; page++) {
		map = differ_map_at(w, page * PAGE);
		if (!map || !map->inode || map->perms[1] != 'w' ||
		    map->perms[3] != 'p')
			continue;
		(void)differ_touch(w, DIFFER_MANAGED, page * PAGE);
		(void)differ_touch(w, DIFFER_PLAIN, page * PAGE);
	}
}

/* Check the bytes done and the error of a device access. */
static void check_done(struct differ_world *w, size_t done, size_t expected,
		       size_t bytes, int err)
{
	if (done != expected)
		differ_fail(w,
			    "the device did 0x%zx bytes, and can do 0x%zx (%d)",
			    done, expected, err);
	if (expected < bytes ? err != -EFAULT && err != -EPERM : err)
		differ_fail(w, "the device said %d after 0x%zx of 0x%zx bytes",
			    err, done, bytes);
}

/* Ports -------------------------------------------------------------------------------- */

size_t differ_port_read(struct differ_world *w, size_t at, uint8_t *buffer,
			size_t bytes, int *err)
{
	size_t all = 0, done;

	do {
		done = 0;
		*err = hmmu_port_read(w->port, managed(w, at + all),
				      buffer + all, bytes - all, &done);
		all += done;
	} while (*err == -EBUSY);
	return all;
}

static size_t port_write(struct differ_world *w, size_t at,
			 const uint8_t *buffer, size_t bytes, int *err)
{
	size_t all = 0, done;

	do {
		done = 0;
		*err = hmmu_port_write(w->port, managed(w, at + all),
				       buffer + all, bytes - all, &done);
		all += done;
	} while (*err == -EBUSY);
	return all;
}

static void op_port_read(struct differ_world *w, const struct differ_op *op)
{
	size_t can = reachable(w, op->at, op->bytes, false), done;
	uint8_t *plain = w->buffer[DIFFER_PLAIN];
	uint8_t *buffer = w->buffer[DIFFER_MANAGED];
	int err;

	done = differ_port_read(w, op->at, buffer, op->bytes, &err);
	check_done(w, done, can, op->bytes, err);
	(void)differ_access(w, DIFFER_PLAIN, op->at, plain, can, false);
	differ_same_bytes(w, op->at, buffer, plain, can);
}

static void op_port_write(struct differ_world *w, const struct differ_op *op)
{
	size_t can = reachable(w, op->at, op->bytes, true), done;
	uint8_t *buffer = w->buffer[DIFFER_MANAGED];
	struct differ_outcome o;
	int err;

	differ_fill_buffer(buffer, op->bytes, op->value);
	done = port_write(w, op->at, buffer, op->bytes, &err);
	check_done(w, done, can, op->bytes, err);
	o = differ_access(w, DIFFER_PLAIN, op->at, buffer, can, true);
	HMMU_CHECK_INT(o.ret, can);
}

/* An atomic operation on a word, which is within one page. */
static void op_port_atomic(struct differ_world *w, const struct differ_op *op)
{
	size_t at = hmmu_round_down(op->at, 8), can;
	uint64_t plain = 0, found, next;
	uint8_t *word = (uint8_t *)&next;
	bool add = op->kind == DIFFER_PORT_ADD;
	int err;

	can = reachable(w, at, 8, true);
	(void)differ_access(w, DIFFER_PLAIN, at, (uint8_t *)&plain, can, false);
	next = add ? plain + op->value : op->value;
	do {
		found = op->write ? plain : ~plain;
		err = add ? hmmu_port_fetch_add(w->port, managed(w, at), 8,
						op->value, &found) :
			    hmmu_port_compare_exchange(w->port, managed(w, at),
						       8, &found, &op->value);
	} while (err == -EBUSY);
	if (!add && can && err != op->write)
		differ_fail(w, "exchanged: %d, not %d", err, op->write);
	check_done(w, err < 0 ? 0 : 8, can, 8, err < 0 ? err : 0);
	if (can && (add || !op->write) && found != plain)
		differ_fail(w, "found 0x%llx, and plain memory has 0x%llx",
			    (unsigned long long)found,
			    (unsigned long long)plain);
	if (can && (add || op->write))
		(void)differ_access(w, DIFFER_PLAIN, at, word, 8, true);
	else if (can)
		own_files(w, at, 8);
}

/* The software accelerator ----------------------------------------------------------- */

/* Run a descriptor; repeat it if it has collided for too long. */
static const struct hmmu_soft_record *soft_run(struct differ_world *w,
					       struct hmmu_soft_descriptor d)
{
	struct hmmu_soft_record *r = w->record;
	int err;

	d.flags = HMMU_SOFT_RECORD | HMMU_SOFT_BLOCK_ON_FAULT;
	d.record = (uintptr_t)r;
	do {
		r->status = HMMU_SOFT_PENDING;
		while ((err = hmmu_soft_submit(queue, &d)) == -EAGAIN)
			;
		HMMU_CHECK_OK(err);
		HMMU_CHECK_OK(hmmu_soft_wait(soft, r, HMMU_SOFT_FOREVER));
	} while (r->status == HMMU_SOFT_ACCESS_FAULT &&
		 r->fault_errno == EBUSY);
	return r;
}

static int soft_error(struct differ_world *w, const struct hmmu_soft_record *r)
{
	if (r->status == HMMU_SOFT_SUCCESS)
		return 0;
	if (r->status != HMMU_SOFT_ACCESS_FAULT)
		differ_fail(w, "accelerator: %s",
			    hmmu_soft_status_text(r->status));
	return -r->fault_errno;
}

static void op_soft_fill(struct differ_world *w, const struct differ_op *op)
{
	const struct hmmu_soft_record *r;
	uint64_t pattern = live_word(op->value, 0);
	uint8_t *buffer = w->buffer[DIFFER_PLAIN];
	size_t can, i;

	can = reachable(w, op->at, op->bytes, true);
	r = soft_run(w, (struct hmmu_soft_descriptor){
				.opcode = HMMU_SOFT_FILL,
				.dst = managed(w, op->at),
				.bytes = (uint32_t)op->bytes,
				.operand = { pattern },
			});
	for (i = 0; i < can; i++)
		buffer[i] = (uint8_t)(pattern >> i % 8 * 8);
	(void)differ_access(w, DIFFER_PLAIN, op->at, buffer, can, true);
	check_done(w,
		   r->status == HMMU_SOFT_SUCCESS ? op->bytes :
						    r->bytes_completed,
		   can, op->bytes, soft_error(w, r));
}

/* The part of the range that @m maps, as offsets in its file. */
static bool file_part(const struct differ_map *m, size_t at, size_t bytes,
		      uintptr_t *start, uintptr_t *end)
{
	size_t lo = hmmu_max(m->start, hmmu_round_down(at, PAGE));
	size_t hi = hmmu_min(m->end, hmmu_round_up(at + bytes, PAGE));

	*start = m->offset + (lo - m->start);
	*end = m->offset + (hi - m->start);
	return m->inode && lo < hi;
}

/* True if both ranges map the same part of a file. */
static bool meets_itself(const struct differ_world *w,
			 const struct differ_op *op)
{
	const struct differ_maps *maps = &w->maps[DIFFER_PLAIN];
	uintptr_t from, from_end, to, to_end;
	size_t i, j;

	for (i = 0; i < maps->count; i++) {
		if (!file_part(&maps->map[i], op->at, op->bytes, &from,
			       &from_end))
			continue;
		for (j = 0; j < maps->count; j++)
			if (maps->map[j].inode == maps->map[i].inode &&
			    file_part(&maps->map[j], op->to, op->bytes, &to,
				      &to_end) &&
			    from < to_end && to < from_end)
				return true;
	}
	return false;
}

static void op_soft_move(struct differ_world *w, const struct differ_op *op)
{
	uint8_t *buffer = w->buffer[DIFFER_PLAIN];
	const struct hmmu_soft_record *r;
	size_t from, to, done;

	/* Read-only lazy pages cannot be settled. */
	if (differ_any(w, op->at, op->bytes, DIFFER_LAZY) ||
	    meets_itself(w, op))
		return;
	from = reachable(w, op->at, op->bytes, false);
	to = reachable(w, op->to, op->bytes, true);
	r = soft_run(w, (struct hmmu_soft_descriptor){
				.opcode = HMMU_SOFT_MEMMOVE,
				.src = managed(w, op->at),
				.dst = managed(w, op->to),
				.bytes = (uint32_t)op->bytes,
			});
	done = r->status == HMMU_SOFT_SUCCESS ? op->bytes : r->bytes_completed;
	if (r->status != HMMU_SOFT_SUCCESS && r->result)
		differ_fail(w, "moved from the end without need");
	check_done(w, done, hmmu_min(from, to), op->bytes, soft_error(w, r));
	(void)differ_access(w, DIFFER_PLAIN, op->at, buffer, done, false);
	(void)differ_access(w, DIFFER_PLAIN, op->to, buffer, done, true);
}

static void op_soft_compare(struct differ_world *w, const struct differ_op *op)
{
	uint8_t *one = w->buffer[DIFFER_MANAGED];
	uint8_t *other = w->buffer[DIFFER_PLAIN];
	const struct hmmu_soft_record *r;
	size_t can, i;

	if (differ_any(w, op->at, op->bytes, DIFFER_LAZY) ||
	    differ_any(w, op->to, op->bytes, DIFFER_LAZY))
		return;
	can = hmmu_min(reachable(w, op->at, op->bytes, false),
		       reachable(w, op->to, op->bytes, false));
	r = soft_run(w, (struct hmmu_soft_descriptor){
				.opcode = HMMU_SOFT_COMPARE,
				.src = managed(w, op->at),
				.dst = managed(w, op->to),
				.bytes = (uint32_t)op->bytes,
			});
	(void)differ_access(w, DIFFER_PLAIN, op->at, one, can, false);
	(void)differ_access(w, DIFFER_PLAIN, op->to, other, can, false);
	for (i = 0; i < can && one[i] == other[i]; i++)
		;
	if (i < can) {
		if (soft_error(w, r) || !r->result || r->bytes_completed != i)
			differ_fail(w, "byte 0x%zx differs, not 0x%x", i,
				    r->bytes_completed);
		return;
	}
	check_done(w,
		   r->status == HMMU_SOFT_SUCCESS ? op->bytes :
						    r->bytes_completed,
		   can, op->bytes, soft_error(w, r));
	if (can == op->bytes && r->result)
		differ_fail(w, "equal bytes differ");
}

/* Faults and snapshots ----------------------------------------------------------------- */

static void check_error(struct differ_world *w, size_t can, size_t bytes,
			int err)
{
	if (can < bytes ? err != -EFAULT && err != -EPERM : err)
		differ_fail(w, "%d, where 0x%zx of 0x%zx bytes can be reached",
			    err, can, bytes);
}

static void op_device_fault(struct differ_world *w, const struct differ_op *op)
{
	size_t can = reachable(w, op->at, op->bytes, op->write);
	int err;

	do
		err = hmmu_device_fault(
			live_device, managed(w, op->at), op->bytes,
			op->write ? HMMU_ACCESS_WRITE : HMMU_ACCESS_READ);
	while (err == -EBUSY);
	check_error(w, can, op->bytes, err);
	if (op->write)
		own_files(w, op->at, op->bytes);
}

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

/* Get the entries of @pages pages with the requests @flags. */
static int look(struct differ_world *w, size_t at, size_t pages,
		uint64_t *entries, uint64_t flags)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = ignore };
	struct hmmu_range range = { .size = sizeof(range),
				    .owner = live_device,
				    .start = managed(w, at),
				    .end = managed(w, at + pages * PAGE),
				    .entries = entries,
				    .default_flags = flags };
	int err;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, range.start,
					   pages * PAGE, HMMU_NOTIFIER_LAZY,
					   &ops, NULL, &range.notifier));
	memset(entries, 0, pages * sizeof(*entries));
	do
		err = hmmu_range_fault_unlocked(&range,
						HMMU_RANGE_DEFAULT_TIMEOUT_NS);
	while (err == -EBUSY);
	hmmu_notifier_remove(range.notifier);
	return err;
}

static void check_entry(struct differ_world *w, size_t page, uint64_t entry)
{
	const struct differ_map *map = differ_map_at(w, page * PAGE);
	bool readable = map && map->perms[0] == 'r';
	bool writable = readable && map->perms[1] == 'w';

	if (!(entry & HMMU_ENTRY_ERROR) != readable ||
	    (entry & HMMU_ENTRY_VALID && !readable) ||
	    (entry & HMMU_ENTRY_WRITE && !writable))
		differ_fail(w, "page 0x%zx is %.4s, and its entry 0x%llx", page,
			    map ? map->perms : "none",
			    (unsigned long long)entry);
}

/*
 * After a successful fault every page is valid. A write request does not fault
 * a read-only page on the device; the caller must check the entry (RF20).
 */
static void check_faulted(struct differ_world *w, const struct differ_op *op,
			  size_t page, uint64_t entry, bool *quirk)
{
	if (!(entry & HMMU_ENTRY_VALID))
		differ_fail(w, "page 0x%zx was faulted, and is 0x%llx", page,
			    (unsigned long long)entry);
	if (!op->write || entry & HMMU_ENTRY_WRITE)
		return;
	*quirk = true;
	if (hmmu_entry_where(entry) != HMMU_WHERE_DEVICE)
		differ_fail(w, "page 0x%zx was to be written, and is 0x%llx",
			    page, (unsigned long long)entry);
}

static void op_look(struct differ_world *w, const struct differ_op *op)
{
	uint64_t entries[DIFFER_BUFFER_PAGES];
	size_t pages = hmmu_round_up(op->bytes, PAGE) / PAGE, i, can;
	bool faults = op->kind == DIFFER_RANGE_FAULT, quirk = false;
	uint64_t flags = 0;
	int err;

	pages = hmmu_min(pages, DIFFER_BUFFER_PAGES);
	can = pages * PAGE;
	if (faults) {
		flags = HMMU_ENTRY_REQ_FAULT;
		flags |= op->write ? HMMU_ENTRY_REQ_WRITE : 0;
	}
	err = look(w, op->at, pages, entries, flags);
	for (i = 0; !err && i < pages; i++) {
		check_entry(w, op->at / PAGE + i, entries[i]);
		if (faults)
			check_faulted(w, op, op->at / PAGE + i, entries[i],
				      &quirk);
	}
	if (faults)
		can = reachable(w, op->at, can, op->write && !quirk);
	check_error(w, can, pages * PAGE, err);
	if (faults && op->write)
		own_files(w, op->at, pages * PAGE);
}

void differ_device_op(struct differ_world *w, const struct differ_op *op)
{
	static void (*const ops[DIFFER_KINDS])(struct differ_world *,
					       const struct differ_op *) = {
		[DIFFER_PORT_READ] = op_port_read,
		[DIFFER_PORT_WRITE] = op_port_write,
		[DIFFER_PORT_ADD] = op_port_atomic,
		[DIFFER_PORT_EXCHANGE] = op_port_atomic,
		[DIFFER_SOFT_FILL] = op_soft_fill,
		[DIFFER_SOFT_MOVE] = op_soft_move,
		[DIFFER_SOFT_COMPARE] = op_soft_compare,
		[DIFFER_DEVICE_FAULT] = op_device_fault,
		[DIFFER_RANGE_FAULT] = op_look,
		[DIFFER_SNAPSHOT] = op_look,
		[DIFFER_TO_DEVICE] = move,
		[DIFFER_HOME] = move,
		[DIFFER_EVICT] = move,
		[DIFFER_EXCLUSIVE] = move,
	};
	bool second = op->kind == DIFFER_SOFT_MOVE ||
		      op->kind == DIFFER_SOFT_COMPARE;

	if (op->kind < DIFFER_TO_DEVICE) {
		if (!refresh(w, op->at, op->bytes) ||
		    (second && !refresh(w, op->to, op->bytes)))
			return;
		differ_settle(w, op->at, op->bytes);
		if (second)
			differ_settle(w, op->to, op->bytes);
	}
	ops[op->kind](w, op);
}

/* Actors -------------------------------------------------------------------------------- */

static struct differ_world *any_world(struct actor *a)
{
	return &differ_worlds[differ_draw(&a->random, differ_world_count)];
}

/* Migrate a random range, which may reach beyond the arena. */
static void take(struct actor *a)
{
	struct differ_world *w = any_world(a);
	size_t first = differ_draw(&a->random, DIFFER_PAGES);
	size_t pages = 1 + differ_draw(&a->random, 600);
	uintptr_t start, end;

	if (!differ_draw(&a->random, 3))
		first = hmmu_round_down(first, 64);
	pages = hmmu_min(pages, DIFFER_PAGES - first);
	start = managed(w, first * PAGE);
	end = start + pages * PAGE;
	if (!differ_draw(&a->random, 4)) {
		start = hmmu_round_down(start, LARGE);
		end = start + LARGE;
	}
	HMMU_CHECK_OK(-pthread_rwlock_rdlock(&differ_takers));
	switch (differ_draw(&a->random, 16)) {
	case 0:
		evict();
		break;
	case 1:
	case 2:
		home(start, end);
		break;
	case 3:
		exclusive(start, start + PAGE);
		break;
	default:
		to_device(start, end);
	}
	HMMU_CHECK_OK(-pthread_rwlock_unlock(&differ_takers));
	usleep((useconds_t)differ_draw(&a->random, 300));
}

static void read_any(struct actor *a)
{
	struct differ_world *w = any_world(a);
	size_t at = differ_draw(&a->random, DIFFER_BYTES - 8);
	uint64_t value;
	int err = hmmu_port_load64(a->port, managed(w, at), &value);

	HMMU_CHECK(!err || err == -EFAULT || err == -EBUSY);
	if (!differ_draw(&a->random, 64))
		usleep(200);
}

static void *act(void *arg)
{
	struct actor *a = arg;

	while (!atomic_load_explicit(&differ_stop, memory_order_acquire)) {
		a->act(a);
		a->done++;
	}
	return NULL;
}

void differ_actors_start(void)
{
	unsigned int i;

	for (i = 0; i < ACTORS; i++) {
		struct actor *a = &actors[i];

		a->random = (differ_seed + i + 77) * 0x9e3779b97f4a7c15ull | 1;
		a->act = i < TAKERS ? take : read_any;
		HMMU_CHECK_OK(hmmu_port_open(live_device, &a->port));
		a->thread = live_thread(act, a);
	}
}

void differ_actors_join(void)
{
	unsigned int i;

	for (i = 0; i < ACTORS; i++) {
		live_join(actors[i].thread);
		hmmu_port_close(actors[i].port);
		HMMU_CHECK(actors[i].done > 0);
	}
}

/* Opening --------------------------------------------------------------------------- */

void differ_device_open(void)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options), .bytes = POOL_BLOCKS * LARGE
	};
	struct hmmu_soft_options options = { .size = sizeof(options),
					     .workers = 1,
					     .records = DIFFER_WORLDS };

	live_open_space();
	live_need_move();
	HMMU_CHECK_OK(
		hmmu_memory_create(live_space, &memory_options, &live_memory));
	options.memory = live_memory;
	HMMU_CHECK_OK(hmmu_soft_create(live_space, &options, &soft));
	HMMU_CHECK_OK(hmmu_soft_queue_create(soft, NULL, &queue));
	live_device = hmmu_soft_device(soft);
}

void differ_world_open_ports(struct differ_world *w)
{
	HMMU_CHECK_OK(hmmu_port_open(live_device, &w->port));
	w->record = hmmu_soft_record_at(soft, w->index);
	HMMU_CHECK(w->record);
}

void differ_device_close(void)
{
	unsigned int i;

	for (i = 0; i < differ_world_count; i++)
		hmmu_port_close(differ_worlds[i].port);
	HMMU_CHECK_OK(hmmu_soft_destroy(soft));
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
	HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}
