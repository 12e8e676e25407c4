/* SPDX-License-Identifier: MIT */
/*
 * The mappings of this process: see vma.h
 */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/compiler.h"
#include "base/sys.h"
#include "live/vma.h"
#include "uapi/linux_mm.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004u
#endif
/* The page size of a hugetlb memfd: its log2, from this bit on. */
#define MFD_HUGE_SHIFT	 26

/*
 * Room for a path in the result of PROCMAP_QUERY. For a longer path the kernel
 * returns an error, and the query is repeated without the name.
 */
#define QUERY_NAME_BYTES 256u

/* --- one line ------------------------------------------------------------- */

/* The rest of a line. */
struct cursor {
	const char *at;
	const char *end;
};

static bool take_char(struct cursor *c, char wanted)
{
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static void skip_spaces(struct cursor *c)
{
	while (take_char(c, ' '))
		;
}

/*
 * The value of a digit; 16 if it is none, which is a digit of no base used
 * here.
 */
static unsigned int digit_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return (unsigned int)(ch - '0');
	if (ch >= 'a' && ch <= 'f')
		return (unsigned int)(ch - 'a') + 10;
	return 16;
}

/* At least one digit. False also for a number of more than 64 bits. */
static bool take_number(struct cursor *c, unsigned int base, uint64_t *ret)
{
	const char *first = c->at;
	uint64_t value = 0;

	for (; c->at != c->end && digit_value(*c->at) < base; c->at++) {
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit_value(*c->at), &value))
			return false;
	}
	*ret = value;
	return c->at != first;
}

/* One letter of "rwxp": @set sets @bit, @clear does not. */
static bool take_prot(struct cursor *c, char set, char clear, uint32_t bit,
		      uint32_t *prot)
{
	if (take_char(c, clear))
		return true;
	*prot |= bit;
	return take_char(c, set);
}

static bool take_prots(struct cursor *c, uint32_t *prot)
{
	*prot = 0;
	return take_prot(c, 'r', '-', HMMU__VMA_R, prot) &&
	       take_prot(c, 'w', '-', HMMU__VMA_W, prot) &&
	       take_prot(c, 'x', '-', HMMU__VMA_X, prot) &&
	       take_prot(c, 's', 'p', HMMU__VMA_SHARED, prot);
}

static bool take_device(struct cursor *c, uint64_t *ret)
{
	uint64_t major, minor;

	if (!take_number(c, 16, &major) || !take_char(c, ':') ||
	    !take_number(c, 16, &minor) || major > UINT32_MAX ||
	    minor > UINT32_MAX)
		return false;
	*ret = makedev((unsigned int)major, (unsigned int)minor);
	return true;
}

static void keep_name(struct hmmu__maps_line *line, const char *name,
		      size_t bytes)
{
	bytes = hmmu_min(bytes, sizeof(line->name) - 1);
	memcpy(line->name, name, bytes);
	memset(line->name + bytes, 0, sizeof(line->name) - bytes);
}

/*
 * Not reported directly. The inode alone is not enough: System V segment 0 has
 * inode 0.
 */
static bool is_of_file(const struct hmmu__maps_line *line)
{
	return line->ino || line->dev || line->name[0] == '/';
}

int hmmu__maps_parse(const char *line, size_t bytes,
		     struct hmmu__maps_line *out)
{
	struct cursor c = { line, line + bytes };

	if (!take_number(&c, 16, &out->start) || !take_char(&c, '-') ||
	    !take_number(&c, 16, &out->end) || !take_char(&c, ' ') ||
	    !take_prots(&c, &out->prot) || !take_char(&c, ' ') ||
	    !take_number(&c, 16, &out->offset) || !take_char(&c, ' ') ||
	    !take_device(&c, &out->dev) || !take_char(&c, ' ') ||
	    !take_number(&c, 10, &out->ino) || out->start >= out->end)
		return -EINVAL;
	if (c.at != c.end && *c.at != ' ')
		return -EINVAL;
	skip_spaces(&c);
	keep_name(out, c.at, (size_t)(c.end - c.at));
	out->has_file = is_of_file(out);
	/* The text does not have it. */
	out->page_bytes = HMMU_PAGE_BYTES;
	return 0;
}

/* --- lines out of pieces -------------------------------------------------- */

void hmmu__maps_reader_init(struct hmmu__maps_reader *reader,
			    hmmu__maps_read_fn *read, void *arg, char *buf)
{
	reader->read = read;
	reader->arg = arg;
	reader->begin = 0;
	reader->end = 0;
	reader->cut = false;
	reader->buf = buf;
}

/*
 * Append a piece to the rest. Returns 1, 0 at the end of the text, or -errno.
 */
static int reader_fill(struct hmmu__maps_reader *r)
{
	ssize_t got;

	memmove(r->buf, r->buf + r->begin, r->end - r->begin);
	r->end -= r->begin;
	r->begin = 0;
	got = r->read(r->arg, r->buf + r->end,
		      HMMU__MAPS_BUFFER_BYTES - r->end);
	if (got <= 0)
		return (int)got;
	r->end += (size_t)got;
	return 1;
}

static void reader_give(struct hmmu__maps_reader *r, size_t bytes,
			const char **ret_line, size_t *ret_bytes)
{
	*ret_line = r->buf + r->begin;
	*ret_bytes = bytes;
	r->begin += bytes;
}

/*
 * A line ends at its newline. A line that fills the whole buffer is returned as
 * it is, and the following calls skip the rest of it. At the end of the text a
 * line needs no newline.
 */
int hmmu__maps_reader_next(struct hmmu__maps_reader *r, const char **ret_line,
			   size_t *ret_bytes)
{
	for (;;) {
		const char *at = r->buf + r->begin;
		size_t left = r->end - r->begin;
		const char *newline = memchr(at, '\n', left);
		int err;

		if (newline && !r->cut) {
			reader_give(r, (size_t)(newline - at), ret_line,
				    ret_bytes);
			r->begin++;
			return 1;
		}
		if (newline) {
			r->begin += (size_t)(newline - at) + 1;
			r->cut = false;
			continue;
		}
		if (r->cut) {
			r->begin = r->end;
		} else if (left == HMMU__MAPS_BUFFER_BYTES) {
			r->cut = true;
			reader_give(r, left, ret_line, ret_bytes);
			return 1;
		}
		err = reader_fill(r);
		if (err == 1)
			continue;
		if (err || r->begin == r->end)
			return err;
		reader_give(r, r->end - r->begin, ret_line, ret_bytes);
		return 1;
	}
}

/* --- what kind it is ------------------------------------------------------ */

static bool starts_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool starts_with_any(const char *name, const char *const *prefixes,
			    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (starts_with(name, prefixes[i]))
			return true;
	}
	return false;
}

/*
 * Mappings with a name but without a file: only these are ordinary memory. The
 * vdso is like code of a file, but in pages of the kernel. The vvar beside it
 * has no pages at all (RF14).
 */
static enum hmmu__vma_kind name_kind(const char *name)
{
	static const char *const ordinary[] = { "[heap]", "[stack", "[anon:" };

	if (name[0] == '\0' ||
	    starts_with_any(name, ordinary, HMMU_ARRAY_SIZE(ordinary)))
		return HMMU__VMA_ANON;
	return strcmp(name, "[vdso]") ? HMMU__VMA_SPECIAL : HMMU__VMA_FILE;
}

/*
 * True if the file's memory is a device's or the kernel's. A file without a
 * path ("anon_inode:[io_uring]", "socket:[1]") always is.
 */
static bool is_special_name(const char *name)
{
	static const char *const special[] = {
		"/dev/", "/sys/", "/proc/", "/dmabuf", "/[aio]", "/secretmem",
	};
	static const char *const ordinary[] = { "/dev/shm/",
						"/dev/zero (deleted)",
						"[anon_shmem:" };

	if (starts_with_any(name, ordinary, HMMU_ARRAY_SIZE(ordinary)))
		return false;
	return name[0] != '/' ||
	       starts_with_any(name, special, HMMU_ARRAY_SIZE(special));
}

static const struct hmmu__vma_device *
find_device(const struct hmmu__vma_source *src, uint64_t dev)
{
	for (size_t i = 0; i < src->device_count; i++) {
		if (src->device[i].dev == dev)
			return &src->device[i];
	}
	return NULL;
}

/* The page size of a hugetlb mapping; 0 if it is none. */
static uint64_t hugetlb_page_bytes(const struct hmmu__vma_device *device,
				   const struct hmmu__maps_line *line)
{
	/* PROCMAP_QUERY reported it. DAX devices have large pages, too. */
	if (line->page_bytes > HMMU_PAGE_BYTES)
		return starts_with(line->name, "/dev/dax") ? 0 :
							     line->page_bytes;
	if (device && device->kind == HMMU__VMA_HUGETLB)
		return device->page_bytes;
	/* The default of x86-64; the boot command line can change it. */
	if (starts_with(line->name, "/anon_hugepage"))
		return HMMU_LARGE_BYTES;
	return 0;
}

static enum hmmu__vma_kind file_kind(const struct hmmu__vma_device *device,
				     const struct hmmu__maps_line *line)
{
	/* The kernel makes it anonymous memory, but keeps the file's name. */
	if (!strcmp(line->name, "/dev/zero") &&
	    !(line->prot & HMMU__VMA_SHARED))
		return HMMU__VMA_ANON;
	if (is_special_name(line->name))
		return HMMU__VMA_SPECIAL;
	return device ? device->kind : HMMU__VMA_FILE;
}

void hmmu__vma_classify(const struct hmmu__vma_source *src,
			const struct hmmu__maps_line *line,
			struct hmmu__vma *out)
{
	const struct hmmu__vma_device *device = find_device(src, line->dev);
	uint64_t huge = line->has_file ? hugetlb_page_bytes(device, line) : 0;

	*out = (struct hmmu__vma){
		.start = line->start,
		.end = line->end,
		.prot = line->prot,
		.kind = HMMU__VMA_ANON,
		.page_bytes = huge ? huge : line->page_bytes,
		.ino = line->ino,
		.dev = line->dev,
		.offset = line->has_file ? line->offset : 0,
	};
	if (huge) {
		out->kind = HMMU__VMA_HUGETLB;
	} else if (line->has_file) {
		out->kind = file_kind(device, line);
	} else {
		out->kind = name_kind(line->name);
		out->stack = starts_with(line->name, "[stack");
	}
}

/* --- asking by PROCMAP_QUERY ---------------------------------------------- */

_Static_assert(HMMU__VMA_R == (int)PROCMAP_QUERY_VMA_READABLE &&
		       HMMU__VMA_W == (int)PROCMAP_QUERY_VMA_WRITABLE &&
		       HMMU__VMA_X == (int)PROCMAP_QUERY_VMA_EXECUTABLE &&
		       HMMU__VMA_SHARED == (int)PROCMAP_QUERY_VMA_SHARED,
	       "the bits of the answer are taken as they are");
#define PROT_BITS (HMMU__VMA_R | HMMU__VMA_W | HMMU__VMA_X | HMMU__VMA_SHARED)

/* @name NULL: do not ask for the name. */
static int ask_kernel(int fd, uintptr_t addr, uint64_t flags, char *name,
		      struct procmap_query *query)
{
	*query = (struct procmap_query){
		.size = sizeof(*query),
		.query_flags = flags,
		.query_addr = addr,
		.vma_name_size = name ? QUERY_NAME_BYTES : 0,
		.vma_name_addr = (uintptr_t)name,
	};
	return hmmu__sys_ioctl(fd, PROCMAP_QUERY, query);
}

static void line_of_answer(const struct procmap_query *query, const char *name,
			   struct hmmu__maps_line *line)
{
	line->start = query->vma_start;
	line->end = query->vma_end;
	line->prot = query->vma_flags & PROT_BITS;
	line->page_bytes = query->vma_page_size;
	line->ino = query->inode;
	line->dev = makedev(query->dev_major, query->dev_minor);
	line->offset = query->vma_offset;
	keep_name(line, name, strnlen(name, QUERY_NAME_BYTES));
	line->has_file = is_of_file(line);
}

/*
 * A path that is too long begins with a slash. Keep only that: devices have
 * short names. The second query may find another mapping, which is as correct a
 * result as the first.
 */
static int query_by_ioctl(const struct hmmu__vma_source *src, uintptr_t addr,
			  uint64_t flags, struct hmmu__vma *out)
{
	char name[QUERY_NAME_BYTES] = { 0 };
	struct hmmu__maps_line line;
	struct procmap_query query;
	int err = ask_kernel(src->fd, addr, flags, name, &query);

	if (err == -ENAMETOOLONG) {
		memcpy(name, "/", sizeof("/"));
		err = ask_kernel(src->fd, addr, flags, NULL, &query);
	}
	if (err)
		return err == -ENOENT ? -EFAULT : err;
	line_of_answer(&query, name, &line);
	hmmu__vma_classify(src, &line, out);
	return 0;
}

/* --- asking by text ------------------------------------------------------- */

struct text_position {
	int fd;
	int64_t offset;
};

/*
 * The kernel continues at the address where the last read ended. So if mappings
 * change meanwhile, each is reported as it was at one moment, and none twice.
 */
static ssize_t read_text(void *arg, void *buf, size_t bytes)
{
	struct text_position *position = arg;
	ssize_t got;

	do {
		got = hmmu__sys_pread(position->fd, buf, bytes,
				      position->offset);
	} while (got == -EINTR);
	if (got > 0)
		position->offset += got;
	return got;
}

/* A line in the kernel's half, [vsyscall], ends the program's mappings. */
static int find_line_locked(struct hmmu__vma_source *src, uintptr_t addr,
			    struct hmmu__maps_line *line)
	HMMU_REQUIRES(&src->lock)
{
	struct text_position position = { src->fd, 0 };
	struct hmmu__maps_reader reader;
	const char *text;
	size_t bytes;
	int err;

	hmmu__maps_reader_init(&reader, read_text, &position, src->buf);
	while ((err = hmmu__maps_reader_next(&reader, &text, &bytes)) == 1) {
		err = hmmu__maps_parse(text, bytes, line);
		if (err)
			return err;
		if (line->start > INTPTR_MAX)
			break;
		if (line->end > addr)
			return 0;
	}
	return err < 0 ? err : -EFAULT;
}

static int query_by_text(struct hmmu__vma_source *src, uintptr_t addr,
			 struct hmmu__vma *out)
{
	struct hmmu__maps_line line;
	int err;

	hmmu__mutex_lock(&src->lock);
	err = find_line_locked(src, addr, &line);
	hmmu__mutex_unlock(&src->lock);
	if (!err)
		hmmu__vma_classify(src, &line, out);
	return err;
}

int hmmu__vma_query_next(struct hmmu__vma_source *src, uintptr_t addr,
			 struct hmmu__vma *out)
{
	if (src->use_text)
		return query_by_text(src, addr, out);
	return query_by_ioctl(src, addr, PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
			      out);
}

int hmmu__vma_query(struct hmmu__vma_source *src, uintptr_t addr,
		    struct hmmu__vma *out)
{
	struct hmmu__vma vma;
	int err;

	if (!src->use_text)
		return query_by_ioctl(src, addr, 0, out);
	err = query_by_text(src, addr, &vma);
	if (err)
		return err;
	if (vma.start > addr)
		return -EFAULT;
	*out = vma;
	return 0;
}

/* --- opening -------------------------------------------------------------- */

static void learn_device(struct hmmu__vma_source *src, uint64_t dev,
			 enum hmmu__vma_kind kind, uint64_t page_bytes)
{
	if (find_device(src, dev) ||
	    src->device_count == HMMU_ARRAY_SIZE(src->device))
		return;
	src->device[src->device_count++] =
		(struct hmmu__vma_device){ dev, kind, page_bytes };
}

/*
 * Map one page of shared anonymous memory to learn the device number of the
 * kernel's own tmpfs. memfd and System V memory have the same.
 */
static void learn_shmem(struct hmmu__vma_source *src)
{
	long page = hmmu__sys_mmap(0, HMMU_PAGE_BYTES, PROT_READ,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct hmmu__vma vma;

	if (hmmu__sys_is_error(page))
		return;
	if (!hmmu__vma_query(src, (uintptr_t)page, &vma))
		learn_device(src, vma.dev, HMMU__VMA_SHMEM, HMMU_PAGE_BYTES);
	hmmu__sys_munmap((uintptr_t)page, HMMU_PAGE_BYTES);
}

/*
 * The same for hugetlb memory, which has one file system for each page size. An
 * empty memfd needs no reserved page.
 */
static void learn_hugetlb(struct hmmu__vma_source *src, unsigned int page_lg2)
{
	unsigned int flags = MFD_CLOEXEC | MFD_HUGETLB |
			     page_lg2 << MFD_HUGE_SHIFT;
	int fd = (int)hmmu__syscall(SYS_memfd_create, (long)"hmmu", flags, 0, 0,
				    0, 0);
	struct stat st = { 0 };

	if (fd < 0)
		return;
	if (!hmmu__syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0))
		learn_device(src, st.st_dev, HMMU__VMA_HUGETLB,
			     1ul << page_lg2);
	hmmu__sys_close(fd);
}

/* The usual mount points, if they have the usual file system. */
static void learn_mount(struct hmmu__vma_source *src, const char *path,
			enum hmmu__vma_kind kind, long magic)
{
	struct statfs fs = { 0 };
	struct stat st = { 0 };

	if (hmmu__syscall(SYS_statfs, (long)path, (long)&fs, 0, 0, 0, 0) ||
	    hmmu__syscall(SYS_stat, (long)path, (long)&st, 0, 0, 0, 0) ||
	    fs.f_type != magic)
		return;
	learn_device(src, st.st_dev, kind, (uint64_t)fs.f_bsize);
}

static bool kernel_answers(int fd)
{
	struct procmap_query query;

	return ask_kernel(fd, (uintptr_t)&query, 0, NULL, &query) == 0;
}

int hmmu__vma_open(struct hmmu__vma_source *src, bool force_fallback)
{
	memset(src, 0, sizeof(*src));
	hmmu__mutex_init(&src->lock, HMMU_RANK_LEAF, "maps");
	src->fd = hmmu__sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (src->fd < 0) {
		hmmu__mutex_fini(&src->lock);
		return src->fd;
	}
	src->use_text = force_fallback || !kernel_answers(src->fd);
	learn_shmem(src);
	learn_mount(src, "/dev/shm", HMMU__VMA_SHMEM, TMPFS_MAGIC);
	learn_hugetlb(src, HMMU_LARGE_LG2);
	learn_hugetlb(src, HMMU_HUGE_LG2);
	learn_mount(src, "/dev/hugepages", HMMU__VMA_HUGETLB, HUGETLBFS_MAGIC);
	return 0;
}

void hmmu__vma_close(struct hmmu__vma_source *src)
{
	if (src->fd < 0)
		return;
	hmmu__sys_close(src->fd);
	hmmu__mutex_fini(&src->lock);
	src->fd = -1;
}
