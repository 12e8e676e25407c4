/* SPDX-License-Identifier: MIT */
/*
 * Every kind of memory against everything that is done to memory. What each
 * must give stands in the table below, taken from the contract; doc/kinds.md
 * has the same table (`test_kinds --table` prints it), and tests/check compares
 * the two.
 */
#include <sys/mman.h>

#include "kinds.h"

/* What is done; each to memory that has just been made. */
enum op {
	OP_READ,
	OP_WRITE,
	OP_LEAF,
	OP_WATCH,
	OP_SNAPSHOT,
	OP_FAULT,
	OP_WRITE_FAULT,
	OP_MIGRATE,
	OP_TOUCH,
	OP_HOME,
	OP_DISCARD,
	OP_UNMAP,
	OPS,
};

static const char *const op_names[OPS] = {
	[OP_READ] = "device reads",
	[OP_WRITE] = "device writes",
	[OP_LEAF] = "leaf",
	[OP_WATCH] = "watched",
	[OP_SNAPSHOT] = "snapshot",
	[OP_FAULT] = "fault",
	[OP_WRITE_FAULT] = "write fault",
	[OP_MIGRATE] = "migrate",
	[OP_TOUCH] = "CPU touch",
	[OP_HOME] = "home",
	[OP_DISCARD] = "discard",
	[OP_UNMAP] = "unmap",
};

/* A kind, the rules that say what must be, and what comes of each operation. */
struct row {
	const char *name;
	const char *rules;
	kind_make_fn *make;
	const char *want[OPS];
};

/* Room for one result. */
#define TEXT_BYTES 32

/* clang-format off */
#define OWN	   "data", "own", "4K rw", "yes"
#define OWN_LARGE  "data", "own", "2M rw", "yes"
#define OWN_NO_EVENTS  "data", "own", "4K rw", "no"
#define SHARED	   "data", "shared", "4K rw", "yes"
#define SHARED_NO_EVENTS "data", "shared", "4K rw", "no"
#define READONLY   "data", "EPERM", "4K r", "no"
#define REFUSED	   "EFAULT", "EFAULT", "EFAULT", "no"
#define ZEROES	   "zero", "own", "4K rw", "yes"
#define VALID	   "valid w", "valid w", "valid w"
#define BY_FAULT   "valid", "valid", "valid w"
#define VALID_R	   "valid", "valid", "EPERM"
#define ERROR	   "ERROR", "EFAULT", "EFAULT"
#define MOVES	   "moves", "home", "home", "zero", "gone"
#define MOVES_2M   "moves 2M", "home", "home", "zero", "gone"
#define MOVES_KEPT "moves", "home", "home", "zero", "-"
#define OF_A_FILE  "kind", "stays", "stays", "data", "gone"

enum { ANONYMOUS, LARGE_PAGE, ABSENT, ZERO, LARGE_ZERO, HEAP, ARENA, BSS,
       THREAD_STACK, MAIN_STACK, FORKED, FORKED_LARGE, CHILD_GONE, SWAPPED,
       LOCKED, DROPPABLE, READ_ONLY, WRITE_ONLY, NONE, GUARD, POISON,
       USERFAULTFD, SHARED_ANONYMOUS, MEMFD_SHARED, MEMFD_PRIVATE,
       MEMFD_COPIED, SYSV, FILE_SHARED, FILE_PRIVATE, FILE_COPIED,
       FILE_READONLY, FILE_END, TEXT, HUGETLB, HUGETLB_SHARED, HUGETLB_1G,
       VDSO, VVAR, PERF, IO_URING, SECRET, HMMU, HOLE, ROWS };

static const struct row rows[ROWS] = {
	[ANONYMOUS] = { "private anonymous", "DP9, DP14", kind_anonymous,
		{ OWN, VALID, MOVES } },
	[LARGE_PAGE] = { "a large page", "RF28, MV16, DP4", kind_large,
		{ OWN_LARGE, "valid w 2M", "valid w 2M", "valid w 2M",
		  MOVES_2M } },
	[ABSENT] = { "never touched", "RF17, MV8", kind_absent,
		{ ZEROES, "0", "zero", "valid w", MOVES } },
	[ZERO] = { "the zero page", "RF27, MV9", kind_zero,
		{ ZEROES, "zero", "zero", "valid w", MOVES } },
	[LARGE_ZERO] = { "the large zero page", "RF27, RF28, MV9",
		kind_large_zero,
		{ "zero", "own", "2M rw", "yes", "zero 2M", "zero 2M", "valid w 2M",
		  MOVES_2M } },
	[HEAP] = { "heap (brk)", "DP9", kind_heap, { OWN, VALID, MOVES } },
	[ARENA] = { "arena of malloc", "DP9", kind_arena,
		{ OWN, VALID, MOVES_KEPT } },
	[BSS] = { "static data (.bss)", "DP9", kind_bss,
		{ OWN, VALID, MOVES_KEPT } },
	[THREAD_STACK] = { "stack of a thread", "DP9", kind_thread_stack,
		{ OWN, VALID, MOVES_KEPT } },
	[MAIN_STACK] = { "main stack", "DP9", kind_main_stack,
		{ OWN, VALID, MOVES_KEPT } },
	[FORKED] = { "shared after fork", "FK5, MV15", kind_forked,
		{ OWN, BY_FAULT, MOVES } },
	[FORKED_LARGE] = { "the same, large", "FK5, MV15", kind_forked_large,
		{ OWN, "valid 2M", "valid 2M", "valid w", MOVES } },
	[CHILD_GONE] = { "the same, child gone", "FK5, MV15", kind_child_gone,
		{ OWN, VALID, MOVES } },
	[SWAPPED] = { "in swap", "RF18, MV10", kind_swapped,
		{ OWN, "0", "valid w", "valid w", MOVES } },
	[LOCKED] = { "locked (mlock)", "MV11", kind_locked,
		{ OWN, VALID, "locked", "stays", "stays", "EINVAL", "gone" } },
	[DROPPABLE] = { "droppable", "MV2", kind_droppable,
		{ OWN_NO_EVENTS, VALID, "kind", "stays", "stays", "zero", "gone" } },
	[READ_ONLY] = { "read-only", "RF16, MV19", kind_readonly,
		{ "data", "EPERM", "4K r", "yes", VALID_R,
		  "protected", "stays", "stays", "zero", "gone" } },
	[WRITE_ONLY] = { "write-only", "RF15", kind_writeonly,
		{ REFUSED, ERROR,
		  "protected", "-", "stays", "EFAULT", "gone" } },
	[NONE] = { "no access", "RF14", kind_none,
		{ REFUSED, ERROR,
		  "protected", "-", "stays", "EFAULT", "gone" } },
	[GUARD] = { "guard page", "RF24", kind_guard,
		{ "EFAULT", "EFAULT", "EFAULT", "yes", "0", "EFAULT", "EFAULT",
		  "protected", "-", "stays", "EFAULT", "gone" } },
	[POISON] = { "poisoned page", "RF24", kind_poison,
		{ "EFAULT", "EFAULT", "EFAULT", "yes", "0", "EFAULT", "EFAULT",
		  "protected", "-", "stays", "zero", "gone" } },
	[USERFAULTFD] = { "own userfaultfd", "RF38, MV21", kind_userfaultfd,
		{ OWN_NO_EVENTS, VALID, "foreign", "stays", "stays", "-", "gone" } },
	[SHARED_ANONYMOUS] = { "shared anonymous", "FK6, MV26",
		kind_shared_anonymous, { SHARED, BY_FAULT, OF_A_FILE } },
	[MEMFD_SHARED] = { "memfd, shared", "FK6, MV26", kind_memfd_shared,
		{ SHARED, BY_FAULT, OF_A_FILE } },
	[MEMFD_PRIVATE] = { "memfd, private", "MV26", kind_memfd_private,
		{ OWN, BY_FAULT, OF_A_FILE } },
	[MEMFD_COPIED] = { "memfd, private, written", "DP9", kind_memfd_copied,
		{ OWN, VALID, OF_A_FILE } },
	[SYSV] = { "System V", "FK6, MV26", kind_sysv,
		{ SHARED_NO_EVENTS, BY_FAULT, OF_A_FILE } },
	[FILE_SHARED] = { "file, shared", "FK6, MV26", kind_file_shared,
		{ SHARED_NO_EVENTS, BY_FAULT, OF_A_FILE } },
	[FILE_PRIVATE] = { "file, private", "MV26", kind_file_private,
		{ OWN_NO_EVENTS, BY_FAULT, OF_A_FILE } },
	[FILE_COPIED] = { "file, private, written", "DP9", kind_file_copied,
		{ OWN_NO_EVENTS, VALID, OF_A_FILE } },
	[FILE_READONLY] = { "file, read-only", "RF16, MV26", kind_file_readonly,
		{ READONLY, VALID_R, OF_A_FILE } },
	[FILE_END] = { "beyond a file's end", "RF35", kind_file_end,
		{ REFUSED, "0", "EFAULT", "EFAULT",
		  "kind", "-", "stays", "EFAULT", "gone" } },
	[TEXT] = { "code of the program", "RF16, MV26", kind_text,
		{ READONLY, VALID_R, "kind", "stays", "stays", "-", "-" } },
	[HUGETLB] = { "hugetlb, private", "RF28, MV2", kind_hugetlb,
		{ OWN_LARGE, "valid w 2M", "valid w 2M", "valid w 2M",
		  "kind", "stays", "stays", "zero", "gone" } },
	[HUGETLB_SHARED] = { "hugetlb, shared", "RF28, MV2",
		kind_hugetlb_shared,
		{ "data", "shared", "2M rw", "yes",
		  "valid 2M", "valid 2M", "valid w 2M", OF_A_FILE } },
	[HUGETLB_1G] = { "hugetlb, 1 GiB", "RF28, MV2", kind_hugetlb_1g,
		{ OWN_LARGE, "valid w 1G", "valid w 1G", "valid w 1G",
		  "kind", "stays", "stays", "zero", "gone" } },
	[VDSO] = { "vdso", "RF14, MV2", kind_vdso,
		{ READONLY, VALID_R, "kind", "stays", "stays", "-", "-" } },
	[VVAR] = { "vvar (VM_PFNMAP)", "RF14, MV2", kind_vvar,
		{ REFUSED, ERROR, "kind", "-", "stays", "-", "-" } },
	[PERF] = { "perf ring (VM_PFNMAP)", "RF14, MV2", kind_perf,
		{ REFUSED, ERROR, "kind", "-", "stays", "EINVAL", "gone" } },
	[IO_URING] = { "io_uring ring", "RF26, MV2", kind_io_uring,
		{ REFUSED, ERROR, "kind", "stays", "stays", "-", "gone" } },
	[SECRET] = { "memfd_secret", "RF26, MV2", kind_secret,
		{ REFUSED, ERROR,
		  "kind", "stays", "stays", "EINVAL", "gone" } },
	[HMMU] = { "memory of HMMU", "E1", kind_hmmu,
		{ REFUSED, ERROR, "hmmu", "stays", "stays", "-", "gone" } },
	[HOLE] = { "nothing mapped", "RF13, MV2", kind_hole,
		{ REFUSED, ERROR,
		  "unmapped", "-", "stays", "ENOMEM", "gone" } },
};
/* clang-format on */

/* What comes of it ---------------------------------------------------------- */

static uint64_t device_words[PER_LARGE];
static uint64_t entries[PER_LARGE];

static void say(char *text, const char *result)
{
	HMMU_CHECK(result);
	snprintf(text, TEXT_BYTES, "%s", result);
}

static void say_error(char *text, int err)
{
	const char *name = strerrorname_np(-err);

	say(text, name ? name : "?");
}

static uint64_t *word_at(const struct kind_memory *m, size_t page)
{
	return (uint64_t *)(m->p + page * PAGE);
}

static uint64_t cpu_word(const struct kind_memory *m, size_t page)
{
	return *(volatile uint64_t *)word_at(m, page);
}

/* The first word of each page, as the device reads it. */
static int device_read(const struct kind_memory *m)
{
	struct hmmu_port *port = live_port();
	size_t i;
	int err = 0;

	for (i = 0; i < m->pages && !err; i++)
		err = hmmu_port_load64(port, (uintptr_t)word_at(m, i),
				       &device_words[i]);
	hmmu_port_close(port);
	return err;
}

/* The device has read, and the CPU must read the same. */
static void say_content(const struct kind_memory *m, char *text)
{
	bool is_zero = true;
	size_t i;

	for (i = 0; i < m->pages; i++) {
		is_zero &= !device_words[i];
		if (m->readable)
			HMMU_CHECK(cpu_word(m, i) == device_words[i]);
	}
	say(text, is_zero ? "zero" : "data");
}

static void do_read(struct kind_memory *m, char *text)
{
	int err = device_read(m);

	if (err)
		say_error(text, err);
	else
		say_content(m, text);
}

static void do_write(struct kind_memory *m, char *text)
{
	struct hmmu_port *port = live_port();
	const uint64_t value = 0x1234567;
	size_t i;
	int err = 0;

	for (i = 0; i < m->pages && !err; i++)
		err = hmmu_port_store64(port, (uintptr_t)word_at(m, i),
					value + i);
	hmmu_port_close(port);
	if (err) {
		say_error(text, err);
		return;
	}
	for (i = 0; i < m->pages; i++)
		HMMU_CHECK(cpu_word(m, i) == value + i);
	say(text,
	    m->others_see && m->others_see(m) == value ? "shared" : "own");
}

static int device_fault(const struct kind_memory *m, enum hmmu_access access)
{
	return hmmu_device_fault(live_device, (uintptr_t)m->p, m->pages * PAGE,
				 access);
}

static const char *size_name(unsigned int lg2)
{
	return lg2 == 30 ? "1G" : lg2 == HMMU_LARGE_LG2 ? "2M" : "4K";
}

/* How the device maps it when it has wanted all that it can have. */
static void do_leaf(struct kind_memory *m, char *text)
{
	int err = device_fault(m, HMMU_ACCESS_READ);
	unsigned int lg2;
	uint64_t leaf;

	if (!err && device_fault(m, HMMU_ACCESS_WRITE))
		HMMU_CHECK_OK(device_fault(m, HMMU_ACCESS_READ));
	if (err) {
		HMMU_CHECK_INT(live_leaf(live_device, m->p, NULL), 0);
		say_error(text, err);
		return;
	}
	lg2 = live_leaf(live_device, m->p, &leaf);
	HMMU_CHECK(lg2);
	snprintf(text, TEXT_BYTES, "%s %s", size_name(lg2),
		 leaf & HMMU_MIRROR_WRITE ? "rw" : "r");
}

/* HMMU has registered the mapping, for its changes to be told. */
static void do_watch(struct kind_memory *m, char *text)
{
	unsigned long start, end;
	bool is_here = false, is_watched = false;
	char line[512];
	FILE *maps;
	int err = device_fault(m, HMMU_ACCESS_READ);

	HMMU_CHECK(!err || err == -EFAULT);
	maps = fopen("/proc/self/smaps", "re");
	HMMU_CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_here = (uintptr_t)m->p >= start &&
				  (uintptr_t)m->p < end;
		is_watched |= is_here && strncmp(line, "VmFlags:", 8) == 0 &&
			      strstr(line, " uw");
	}
	fclose(maps);
	say(text, is_watched ? "yes" : "no");
}

static void say_entry(uint64_t entry, char *text)
{
	unsigned int order = hmmu_entry_order(entry);

	if (!(entry & HMMU_ENTRY_VALID)) {
		HMMU_CHECK(!entry || entry == HMMU_ENTRY_ERROR);
		say(text, entry ? "ERROR" : "0");
		return;
	}
	snprintf(text, TEXT_BYTES, "%s%s%s%s",
		 hmmu_entry_where(entry) == HMMU_WHERE_ZERO ? "zero" : "valid",
		 entry & HMMU_ENTRY_WRITE ? " w" : "", order ? " " : "",
		 order ? size_name(order + HMMU_PAGE_LG2) : "");
}

static void on_invalidate(struct hmmu_notifier *sub, void *arg,
			  const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static int look(const struct kind_memory *m, uint64_t flags)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops), .invalidate = on_invalidate
	};
	struct hmmu_range range = { .size = sizeof(range),
				    .owner = live_device,
				    .start = (uintptr_t)m->p,
				    .end = (uintptr_t)m->p + m->pages * PAGE,
				    .entries = entries,
				    .default_flags = flags };
	int err;

	HMMU_CHECK_OK(hmmu_notifier_insert(
		live_space, range.start, range.end - range.start,
		HMMU_NOTIFIER_LAZY, &ops, NULL, &range.notifier));
	memset(entries, 0, sizeof(entries));
	err = hmmu_range_fault_unlocked(&range, HMMU_RANGE_DEFAULT_TIMEOUT_NS);
	hmmu_notifier_remove(range.notifier);
	return err;
}

static void say_look(const struct kind_memory *m, uint64_t flags, char *text)
{
	int err = look(m, flags);
	size_t i;

	if (err) {
		say_error(text, err);
		return;
	}
	say_entry(entries[0], text);
	for (i = 1; i < m->pages; i++)
		if (entries[i] != entries[0])
			say(text, "mixed");
}

static void do_snapshot(struct kind_memory *m, char *text)
{
	size_t present = live_present(m->p, m->pages * PAGE);

	say_look(m, 0, text);
	/* RF5: it faults nothing. */
	HMMU_CHECK_INT(live_present(m->p, m->pages * PAGE), present);
}

static void do_fault(struct kind_memory *m, char *text)
{
	say_look(m, HMMU_ENTRY_REQ_FAULT, text);
}

static void do_write_fault(struct kind_memory *m, char *text)
{
	say_look(m, HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE, text);
}

/* Migration ----------------------------------------------------------------- */

static const char *const stay_names[HMMU_STAY_REASONS] = {
	[HMMU_STAY_UNMAPPED] = "unmapped",
	[HMMU_STAY_KIND] = "kind",
	[HMMU_STAY_PROTECTED] = "protected",
	[HMMU_STAY_LOCKED] = "locked",
	[HMMU_STAY_PINNED] = "pinned",
	[HMMU_STAY_FOREIGN] = "foreign",
	[HMMU_STAY_HMMU] = "hmmu",
	[HMMU_STAY_IN_USE] = "in use",
	[HMMU_STAY_KERNEL] = "kernel",
	[HMMU_STAY_FULL] = "full",
	[HMMU_STAY_CHANGED] = "changed",
	[HMMU_STAY_EXCLUSIVE] = "exclusive",
};

static void say_result(const struct kind_memory *m,
		       const struct hmmu_migrate_result *r, char *text)
{
	size_t i;

	say(text, "mixed");
	if (r->pages_moved == m->pages)
		say(text, r->large_moved * PER_LARGE == m->pages ? "moves 2M" :
								   "moves");
	for (i = 0; i < HMMU_STAY_REASONS; i++)
		if (r->stayed[i] == m->pages)
			say(text, stay_names[i]);
}

/* The device has it, and it is not for reading it that it comes home. */
static void check_moved(const struct kind_memory *m, const uint64_t *before,
			const bool *known)
{
	size_t i;

	HMMU_CHECK_INT(live_present(m->p, m->pages * PAGE), 0);
	HMMU_CHECK_OK(device_read(m));
	HMMU_CHECK_OK(look(m, 0));
	for (i = 0; i < m->pages; i++) {
		HMMU_CHECK(!known[i] || device_words[i] == before[i]);
		/* RF19 */
		HMMU_CHECK_INT(hmmu_entry_where(entries[i]), HMMU_WHERE_DEVICE);
	}
}

/* False: nothing has moved. */
static bool migrate(const struct kind_memory *m, char *text)
{
	static uint64_t before[PER_LARGE];
	static bool known[PER_LARGE];
	struct hmmu_migrate_result r;
	size_t i;

	/* What can be seen without a fault. */
	for (i = 0; i < m->pages; i++) {
		known[i] = m->readable && live_present(word_at(m, i), PAGE);
		before[i] = known[i] ? cpu_word(m, i) : 0;
	}
	r = live_migrate(live_device, m->p, m->pages * PAGE);
	say_result(m, &r, text);
	if (r.pages_moved == m->pages)
		check_moved(m, before, known);
	return r.pages_moved;
}

static void do_migrate(struct kind_memory *m, char *text)
{
	migrate(m, text);
}

static void say_home(bool has_moved, char *text)
{
	LIVE_CHECK_SOON(!live_device_pages());
	say(text, has_moved ? "home" : "stays");
}

static void do_touch(struct kind_memory *m, char *text)
{
	bool has_moved = migrate(m, text);
	size_t i;

	if (!m->readable) {
		say(text, "-");
		return;
	}
	for (i = 0; i < m->pages; i++) {
		uint64_t word = cpu_word(m, i);

		HMMU_CHECK(!has_moved || word == device_words[i]);
	}
	say_home(has_moved, text);
}

static void do_home(struct kind_memory *m, char *text)
{
	bool has_moved = migrate(m, text);
	uintptr_t start = (uintptr_t)m->p;

	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, start, m->pages * PAGE,
					     NULL));
	HMMU_CHECK_INT(live_device_pages(), 0);
	if (has_moved)
		say_content(m, text);
	say_home(has_moved, text);
}

/* DP14: what is discarded is dropped, wherever it is. */
static void do_discard(struct kind_memory *m, char *text)
{
	if (m->kept) {
		say(text, "-");
		return;
	}
	migrate(m, text);
	if (madvise(m->all, m->all_bytes, MADV_DONTNEED))
		say_error(text, -errno);
	else
		do_read(m, text);
	LIVE_CHECK_SOON(!live_device_pages());
}

static void do_unmap(struct kind_memory *m, char *text)
{
	if (m->stays) {
		say(text, "-");
		return;
	}
	migrate(m, text);
	kind_unmap(m);
	HMMU_CHECK_INT(device_read(m), -EFAULT);
	LIVE_CHECK_SOON(!live_device_pages());
	LIVE_CHECK_SOON(!live_used_pages(live_memory));
	say(text, "gone");
}

static void (*const op_fn[OPS])(struct kind_memory *m, char *text) = {
	[OP_READ] = do_read,
	[OP_WRITE] = do_write,
	[OP_LEAF] = do_leaf,
	[OP_WATCH] = do_watch,
	[OP_SNAPSHOT] = do_snapshot,
	[OP_FAULT] = do_fault,
	[OP_WRITE_FAULT] = do_write_fault,
	[OP_MIGRATE] = do_migrate,
	[OP_TOUCH] = do_touch,
	[OP_HOME] = do_home,
	[OP_DISCARD] = do_discard,
	[OP_UNMAP] = do_unmap,
};

/* What a fallback makes of it ----------------------------------------------- */

static void cut(char *text, const char *part)
{
	char *at = strstr(text, part);

	if (at)
		memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
}

static bool is_look(enum op op)
{
	return op == OP_SNAPSHOT || op == OP_FAULT;
}

static bool is_hugetlb(size_t row)
{
	return row == HUGETLB || row == HUGETLB_SHARED || row == HUGETLB_1G;
}

/*
 * Page by page a large page is many small ones, and the zero page is any page.
 * The mapping says how large its pages are in hugetlb alone.
 */
static void want_page_by_page(size_t row, enum op op, char *text)
{
	if (is_hugetlb(row))
		return;
	cut(text, " 2M");
	if (strncmp(text, "2M", 2) == 0)
		memcpy(text, "4K", 2);
	if (is_look(op) && strncmp(text, "zero", 4) == 0)
		say(text, "valid");
}

static void wanted(size_t row, enum op op, char *text)
{
	bool is_stack = row == THREAD_STACK || row == MAIN_STACK;

	say(text, rows[row].want[op]);
	/* The kernel writes to stacks, and is not served. */
	if (is_stack && !live_serves_kernel() && op == OP_MIGRATE)
		say(text, "kernel");
	if (is_stack && !live_serves_kernel() &&
	    (op == OP_TOUCH || op == OP_HOME))
		say(text, "stays");
	if (live_is_forced("NO_PAGEMAP_SCAN"))
		want_page_by_page(row, op, text);
}

/* Running ------------------------------------------------------------------- */

static bool is_good(size_t row, enum op op, const char *text)
{
	char want[TEXT_BYTES];

	wanted(row, op, want);
	if (strcmp(text, want) == 0)
		return true;
	/* Linux says of a page of 1 GiB at times that it is mapped twice. */
	if (row == HUGETLB_1G && is_look(op))
		cut(want, " w");
	if (strcmp(text, want) == 0)
		return true;
	printf("%s, %s: %s, not %s\n", rows[row].name, op_names[op], text,
	       want);
	return false;
}

/* @room: pages of the main stack above all that is called from here. */
static bool run_op(size_t row, enum op op, char *room)
{
	struct kind_memory m = { .p = room };
	char text[TEXT_BYTES] = "nothing";

	live_open();
	kind_begin(&m, rows[row].make);
	op_fn[op](&m, text);
	kind_end(&m);
	live_close();
	return is_good(row, op, text);
}

/* Deeper than what a call publishes of its stack. */
#define BELOW (32 * PAGE)

static void run_row(size_t row)
{
	char area[BELOW + 16 * PAGE];
	char *room =
		(char *)(((uintptr_t)area + BELOW + PAGE - 1) & ~(PAGE - 1));
	bool good = true;
	enum op op;

	for (op = 0; op < OPS; op++)
		good &= run_op(row, op, room);
	HMMU_CHECK(good);
}

#define ROW_TESTS(TEST)                              \
	TEST(dp9_anonymous, ANONYMOUS)               \
	TEST(rf28_large_page, LARGE_PAGE)            \
	TEST(mv8_absent, ABSENT)                     \
	TEST(rf27_zero_page, ZERO)                   \
	TEST(rf27_large_zero_page, LARGE_ZERO)       \
	TEST(dp9_heap, HEAP)                         \
	TEST(dp9_arena, ARENA)                       \
	TEST(dp9_bss, BSS)                           \
	TEST(dp9_thread_stack, THREAD_STACK)         \
	TEST(dp9_main_stack, MAIN_STACK)             \
	TEST(fk5_forked, FORKED)                     \
	TEST(fk5_forked_large, FORKED_LARGE)         \
	TEST(fk5_child_gone, CHILD_GONE)             \
	TEST(rf18_swapped, SWAPPED)                  \
	TEST(mv11_locked, LOCKED)                    \
	TEST(mv2_droppable, DROPPABLE)               \
	TEST(rf16_read_only, READ_ONLY)              \
	TEST(rf15_write_only, WRITE_ONLY)            \
	TEST(rf14_no_access, NONE)                   \
	TEST(rf24_guard, GUARD)                      \
	TEST(rf24_poison, POISON)                    \
	TEST(rf38_userfaultfd, USERFAULTFD)          \
	TEST(fk6_shared_anonymous, SHARED_ANONYMOUS) \
	TEST(fk6_memfd_shared, MEMFD_SHARED)         \
	TEST(mv26_memfd_private, MEMFD_PRIVATE)      \
	TEST(dp9_memfd_copied, MEMFD_COPIED)         \
	TEST(fk6_sysv, SYSV)                         \
	TEST(fk6_file_shared, FILE_SHARED)           \
	TEST(mv26_file_private, FILE_PRIVATE)        \
	TEST(dp9_file_copied, FILE_COPIED)           \
	TEST(rf16_file_readonly, FILE_READONLY)      \
	TEST(rf35_file_end, FILE_END)                \
	TEST(rf16_text, TEXT)                        \
	TEST(rf28_hugetlb, HUGETLB)                  \
	TEST(rf28_hugetlb_shared, HUGETLB_SHARED)    \
	TEST(rf28_hugetlb_1g, HUGETLB_1G)            \
	TEST(rf14_vdso, VDSO)                        \
	TEST(rf14_vvar, VVAR)                        \
	TEST(rf14_perf, PERF)                        \
	TEST(rf26_io_uring, IO_URING)                \
	TEST(rf26_secret, SECRET)                    \
	TEST(e1_hmmu, HMMU)                          \
	TEST(rf13_hole, HOLE)

#define DEFINE_TEST(name, row)              \
	static void test_kinds_##name(void) \
	{                                   \
		run_row(row);               \
	}
ROW_TESTS(DEFINE_TEST)

#define LIST_TEST(name, row) HMMU_TEST(test_kinds_##name),
static const struct hmmu_test tests[] = { ROW_TESTS(LIST_TEST) };

_Static_assert(sizeof(tests) / sizeof(tests[0]) == ROWS,
	       "each row has its test");

/* Printing ------------------------------------------------------------------ */

static void print_table(void)
{
	enum op op;
	size_t i;

	printf("| memory | rules |");
	for (op = 0; op < OPS; op++)
		printf(" %s |", op_names[op]);
	printf("\n|---|---|");
	for (op = 0; op < OPS; op++)
		printf("---|");
	for (i = 0; i < ROWS; i++) {
		printf("\n| %s | %s |", rows[i].name, rows[i].rules);
		for (op = 0; op < OPS; op++)
			printf(" %s |", rows[i].want[op]);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--table") == 0) {
		print_table();
		return 0;
	}
	return hmmu_test_main(argc, argv, tests, ROWS);
}
