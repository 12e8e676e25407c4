/* SPDX-License-Identifier: MIT */
/*
 * System calls on memory that is on a device: read, write, send, recv and their
 * kin. As root the userfaultfd serves the kernel; for an ordinary user (variant
 * user-mode) the hooks lend the call what it works on.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)
#define HALF  (BYTES / 2)

/* What a call works on stays where it is until it returns. */
static bool is_lent(void)
{
	return !live_serves_kernel() && !live_is_forced("NO_HOOKS");
}

static int file_of(const void *p, size_t bytes)
{
	int file = memfd_create("test_io", MFD_CLOEXEC);

	HMMU_CHECK(file >= 0);
	if (p)
		HMMU_CHECK_INT(pwrite(file, p, bytes, 0), bytes);
	return file;
}

/* The file holds what live_fill() writes; read to where no device is. */
static void check_file(int file, size_t bytes, uint64_t seed)
{
	char *q = live_map(bytes);

	HMMU_CHECK_INT(pread(file, q, bytes, 0), bytes);
	LIVE_CHECK(q, bytes, seed);
}

/* One buffer ----------------------------------------------------------------- */

static void test_io_write_from_device(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(NULL, 0);

	live_open_served();
	live_take(p, BYTES);
	HMMU_CHECK_INT(write(file, p, BYTES), BYTES);
	check_file(file, BYTES, 1);
	live_take(p, BYTES);
	HMMU_CHECK_OK(ftruncate(file, 0));
	HMMU_CHECK_INT(pwrite(file, p, BYTES, 0), BYTES);
	check_file(file, BYTES, 1);
	live_take(p, BYTES);
	HMMU_CHECK_INT(pwrite64(file, p + 100, PAGE, 100), PAGE);
	check_file(file, BYTES, 1);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

static void test_io_read_into_device(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	int file = file_of(p, BYTES);

	live_open_served();
	live_take(q, BYTES);
	HMMU_CHECK_INT(read(file, q, BYTES), BYTES);
	LIVE_CHECK(q, BYTES, 1);
	live_fill(q, BYTES, 2);
	live_take(q, BYTES);
	HMMU_CHECK_INT(pread(file, q, BYTES, 0), BYTES);
	LIVE_CHECK(q, BYTES, 1);
	live_fill(q, BYTES, 2);
	live_take(q, BYTES);
	HMMU_CHECK_INT(pread64(file, q + 8, HALF, 8), HALF);
	LIVE_CHECK_AT(q + 8, HALF, 1, 8);
	LIVE_CHECK_AT(q + 8 + HALF, HALF - 8, 2, 8 + HALF);
	live_close();
}

/* What the C library's headers make of a read into a buffer of known room. */
ssize_t __read_chk(int fd, void *buf, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t bytes, off_t at, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t bytes, size_t room, int flags);

static void test_io_checked_room(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	int file = file_of(p, BYTES), ends[2];

	live_open_served();
	live_take(q, BYTES);
	HMMU_CHECK_INT(__read_chk(file, q, BYTES, BYTES), BYTES);
	LIVE_CHECK(q, BYTES, 1);
	live_take(q, BYTES);
	HMMU_CHECK_INT(__pread_chk(file, q, BYTES, 0, BYTES), BYTES);
	HMMU_CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	HMMU_CHECK_INT(send(ends[0], p, PAGE, 0), PAGE);
	live_take(q, BYTES);
	HMMU_CHECK_INT(__recv_chk(ends[1], q, PAGE, PAGE, 0), PAGE);
	LIVE_CHECK(q, BYTES, 1);
	live_close();
}

static void test_io_large_pages(void)
{
	char *p = live_map_large(2, 1), *q = live_map_large(2, 2);
	int file = file_of(NULL, 0);

	live_open_served();
	live_take(p, 2 * LARGE);
	live_take(q, 2 * LARGE);
	HMMU_CHECK_INT(write(file, p, 2 * LARGE), 2 * LARGE);
	HMMU_CHECK_INT(pread(file, q, 2 * LARGE, 0), 2 * LARGE);
	LIVE_CHECK(p, 2 * LARGE, 1);
	LIVE_CHECK(q, 2 * LARGE, 1);
	live_close();
}

/* EX6: for the kernel it is home, and the device's no more. */
static void test_io_exclusive_page(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	int file = file_of(NULL, 0);
	size_t done;

	live_open_served();
	HMMU_CHECK_OK(live_make_exclusive(live_device, p, BYTES, &done));
	HMMU_CHECK_OK(live_make_exclusive(live_device, q, BYTES, &done));
	HMMU_CHECK_INT(pwrite(file, p, HALF, 0), HALF);
	HMMU_CHECK(!live_is_exclusive(live_device, p));
	HMMU_CHECK(live_is_exclusive(live_device, p + HALF));
	HMMU_CHECK_INT(pread(file, q, HALF, 0), HALF);
	LIVE_CHECK(q, HALF, 1);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* What the program has thrown away in a mapping that has pages on a device. */
static void test_io_holes_beside_device(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	int file = file_of(p, BYTES);

	live_open_served();
	live_take(q, HALF);
	HMMU_CHECK_OK(madvise(q + HALF, HALF, MADV_DONTNEED));
	HMMU_CHECK_INT(pread(file, q + HALF, HALF, (off_t)HALF), HALF);
	LIVE_CHECK_AT(q + HALF, HALF, 1, HALF);
	HMMU_CHECK_OK(madvise(q + HALF, HALF, MADV_DONTNEED));
	HMMU_CHECK_INT(pwrite(file, q + HALF, HALF, 0), HALF);
	LIVE_CHECK_ZERO(q + HALF, HALF);
	if (is_lent())
		HMMU_CHECK_INT(live_device_pages(), PAGES / 2);
	LIVE_CHECK(q, HALF, 2);
	live_close();
}

/* A private mapping goes on showing the file of which a page is written. */
static void test_io_write_copies_no_file(void)
{
	char *p = live_map_small(PAGES, 1), *shared, *own;
	int file = file_of(p, BYTES), other = file_of(NULL, 0);

	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	HMMU_CHECK(shared != MAP_FAILED && own != MAP_FAILED);
	live_open_served();
	live_take(p, BYTES);
	HMMU_CHECK_INT(pwrite(other, own, BYTES, 0), BYTES);
	live_fill(shared, BYTES, 3);
	LIVE_CHECK(own, BYTES, 3);
	live_close();
}

static void test_io_errno_is_kept(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(NULL, 0);

	live_open_served();
	live_take(p, BYTES);
	errno = ECHILD;
	HMMU_CHECK_INT(pwrite(file, p, BYTES, 0), BYTES);
	HMMU_CHECK_INT(errno, ECHILD);
	live_close();
}

/* Several buffers ------------------------------------------------------------ */

/* Four buffers of 2 pages, the first and the third of which are to be taken. */
struct four {
	char *p;
	struct iovec *iov;
};

#define PART	 ((size_t)2 * PAGE)
#define ALL_FOUR (4 * PART)

/* The array is in memory that is taken, too. */
static void four_make(struct four *f, uint64_t seed)
{
	size_t i;

	f->p = live_map_small(PAGES, seed);
	f->iov = live_map_small(1, 9);
	for (i = 0; i < 4; i++)
		f->iov[i] = (struct iovec){ f->p + i * PART, PART };
}

static void four_take(struct four *f)
{
	live_take(f->iov, PAGE);
	live_take(f->p, PART);
	live_take(f->p + 2 * PART, PART);
}

static void test_io_vectors_from_device(void)
{
	int file = file_of(NULL, 0);
	struct four f;

	four_make(&f, 1);
	live_open_served();
	four_take(&f);
	HMMU_CHECK_INT(writev(file, f.iov, 4), ALL_FOUR);
	check_file(file, ALL_FOUR, 1);
	four_take(&f);
	HMMU_CHECK_INT(pwritev(file, f.iov, 4, PAGE), ALL_FOUR);
	four_take(&f);
	HMMU_CHECK_INT(pwritev64(file, f.iov, 4, 0), ALL_FOUR);
	check_file(file, ALL_FOUR, 1);
	four_take(&f);
	HMMU_CHECK_OK(ftruncate(file, 0));
	HMMU_CHECK_INT(pwritev2(file, f.iov, 4, 0, 0), ALL_FOUR);
	check_file(file, ALL_FOUR, 1);
	four_take(&f);
	HMMU_CHECK_INT(pwritev64v2(file, f.iov, 4, 0, RWF_APPEND), ALL_FOUR);
	HMMU_CHECK_INT(lseek(file, 0, SEEK_END), 2 * ALL_FOUR);
	LIVE_CHECK(f.p, BYTES, 1);
	live_close();
}

static void vectors_refill(struct four *f)
{
	LIVE_CHECK(f->p, ALL_FOUR, 1);
	live_fill(f->p, BYTES, 2);
	four_take(f);
}

static void test_io_vectors_into_device(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(p, BYTES);
	struct four f;

	four_make(&f, 2);
	live_open_served();
	four_take(&f);
	HMMU_CHECK_INT(readv(file, f.iov, 4), ALL_FOUR);
	vectors_refill(&f);
	HMMU_CHECK_INT(preadv(file, f.iov, 4, 0), ALL_FOUR);
	vectors_refill(&f);
	HMMU_CHECK_INT(preadv64(file, f.iov, 4, 0), ALL_FOUR);
	vectors_refill(&f);
	HMMU_CHECK_INT(preadv2(file, f.iov, 4, 0, 0), ALL_FOUR);
	vectors_refill(&f);
	HMMU_CHECK_INT(preadv64v2(file, f.iov, 4, 0, 0), ALL_FOUR);
	LIVE_CHECK(f.p, ALL_FOUR, 1);
	LIVE_CHECK_AT(f.p + ALL_FOUR, BYTES - ALL_FOUR, 2, ALL_FOUR);
	live_close();
}

/* More than a thread has room to record one by one. */
static void test_io_vector_of_many(void)
{
	enum {
		MANY = 256
	};
	char *p = live_map_small(2 * MANY, 1);
	struct iovec iov[MANY];
	char *q = live_map(MANY * PAGE);
	int file = file_of(NULL, 0);
	size_t i;

	for (i = 0; i < MANY; i++)
		iov[i] = (struct iovec){ p + 2 * i * PAGE, PAGE };
	live_open_served();
	live_take(p, 2 * MANY * PAGE);
	HMMU_CHECK_INT(writev(file, iov, MANY), MANY * PAGE);
	HMMU_CHECK_INT(pread(file, q, MANY * PAGE, 0), MANY * PAGE);
	for (i = 0; i < MANY; i++)
		LIVE_CHECK_AT(q + i * PAGE, PAGE, 1, 2 * i * PAGE);
	LIVE_CHECK(p, 2 * MANY * PAGE, 1);
	live_close();
}

/* What the kernel refuses ---------------------------------------------------- */

#define BAD ((void *)(uintptr_t)0x1000)

static void check_refused(ssize_t ret)
{
	HMMU_CHECK_INT(ret, -1);
	HMMU_CHECK_INT(errno, EFAULT);
}

static void test_io_bad_pointers(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(p, BYTES), ends[2];
	struct msghdr m = { .msg_iov = BAD, .msg_iovlen = 1 };
	/* Compilers know better. */
	volatile size_t most = SIZE_MAX;
	volatile int negative = -1;

	HMMU_CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	HMMU_CHECK_INT(write(ends[1], p, PAGE), PAGE);
	live_open_served();
	live_take(p, BYTES);
	check_refused(pwrite(file, BAD, PAGE, 0));
	check_refused(pread(file, BAD, PAGE, 0));
	check_refused(readv(file, BAD, 2));
	check_refused(writev(file, BAD, 2));
	check_refused(preadv2(file, (void *)~15ul, 2, 0, 0));
	check_refused(sendmsg(ends[0], BAD, 0));
	check_refused(sendmsg(ends[0], &m, 0));
	check_refused(recvmsg(ends[0], BAD, 0));
	check_refused(send(ends[0], BAD, 8, 0));
	check_refused(recv(ends[0], BAD, 8, 0));
	check_refused(sendmmsg(ends[0], BAD, 1, 0));
	HMMU_CHECK_INT(writev(file, BAD, negative), -1);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK_INT(write(file, p, most), -1);
	HMMU_CHECK(errno == EINVAL || errno == EFAULT);
	HMMU_CHECK_INT(write(-1, p, BYTES), -1);
	HMMU_CHECK_INT(errno, EBADF);
	HMMU_CHECK_INT(recv(ends[0], p, BYTES, MSG_DONTWAIT), PAGE);
	LIVE_CHECK(p, BYTES, 1);
	check_file(file, BYTES, 1);
	live_close();
}

/* The first buffer is on the device, and behind its end nothing is mapped. */
static void test_io_partly_bad(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(p, BYTES), ends[2];
	struct iovec iov[] = { { p, PAGE }, { BAD, PAGE }, { p, PAGE } };
	ssize_t plain, lent;

	HMMU_CHECK_OK(pipe(ends));
	HMMU_CHECK_OK(munmap(p + HALF, HALF));
	plain = syscall(SYS_preadv, file, iov, 3, 0l, 0l);
	live_open_served();
	live_take(p, HALF);
	lent = preadv(file, iov, 3, 0);
	HMMU_CHECK_INT(lent, plain);
	LIVE_CHECK(p, HALF, 1);
	live_take(p, HALF);
	HMMU_CHECK_INT(write(ends[1], p + HALF - PAGE, 2 * PAGE), PAGE);
	live_take(p, HALF);
	HMMU_CHECK_INT(pwrite(file, p, BYTES, 0), HALF);
	LIVE_CHECK(p, HALF, 1);
	live_close();
}

/* While it works ------------------------------------------------------------- */

/* A thread in read(2) of a pipe that is empty. */
static struct {
	int ends[2];
	char *p;
	size_t bytes;
	ssize_t got;
	_Atomic unsigned int tid;
} blocked;

static void *read_blocked(void *arg)
{
	(void)arg;
	atomic_store_explicit(&blocked.tid, (unsigned int)gettid(),
			      memory_order_release);
	blocked.got = read(blocked.ends[0], blocked.p, blocked.bytes);
	return NULL;
}

/* It sleeps in read(2), call 0. */
static bool is_in_read(unsigned int tid)
{
	char text[32];

	return live_task_says(tid, "syscall", text, sizeof(text)) &&
	       strncmp(text, "0 ", 2) == 0;
}

static pthread_t start_blocked(char *p, size_t bytes)
{
	pthread_t thread;

	HMMU_CHECK_OK(pipe(blocked.ends));
	blocked.p = p;
	blocked.bytes = bytes;
	thread = live_thread(read_blocked, NULL);
	while (!atomic_load_explicit(&blocked.tid, memory_order_acquire) ||
	       !is_in_read(blocked.tid))
		live_sleep_ms(1);
	return thread;
}

static void check_stayed(const char *p, size_t pages)
{
	struct hmmu_migrate_result r = live_migrate(live_device, p, BYTES);

	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], pages);
	HMMU_CHECK_INT(r.pages_stayed, pages);
}

static void test_io_blocked_read_keeps_its_buffer(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	pthread_t thread;

	live_open_served();
	live_take(p, BYTES);
	thread = start_blocked(p + PAGE, 3 * PAGE);
	check_stayed(p, is_lent() ? 3 : 0);
	HMMU_CHECK_INT(write(blocked.ends[1], q, 3 * PAGE), 3 * PAGE);
	live_join(thread);
	HMMU_CHECK_INT(blocked.got, 3 * PAGE);
	LIVE_CHECK(p + PAGE, 3 * PAGE, 2);
	check_stayed(p, 0);
	LIVE_CHECK(p, PAGE, 1);
	live_close();
}

/* The mapping is armed while the call has a hole of it in its hands. */
static void test_io_blocked_read_into_a_hole(void)
{
	char *p = live_map(BYTES), *q = live_map_small(PAGES, 2);
	pthread_t thread;

	live_fill(p, PAGE, 1);
	live_open_served();
	thread = start_blocked(p + HALF, 3 * PAGE);
	live_migrate(live_device, p, PAGE);
	HMMU_CHECK_INT(write(blocked.ends[1], q, 3 * PAGE), 3 * PAGE);
	live_join(thread);
	HMMU_CHECK_INT(blocked.got, 3 * PAGE);
	LIVE_CHECK(p + HALF, 3 * PAGE, 2);
	LIVE_CHECK(p, PAGE, 1);
	live_close();
}

/* So long that filling it takes a while. */
#define LONG_BYTES (256ul << 20)

static void *take_first_page(void *arg)
{
	live_migrate(live_device, arg, PAGE);
	return NULL;
}

/* The data comes when the mapping is armed, and not filled up to the buffer. */
static void test_io_blocked_read_is_filled_first(void)
{
	char *p = live_map(LONG_BYTES), *q = live_map_small(PAGES, 2);
	char *end = p + LONG_BYTES - HALF;
	pthread_t reader, taker;

	live_fill(p, PAGE, 1);
	live_open_served();
	reader = start_blocked(end, HALF);
	taker = live_thread(take_first_page, p);
	while (!live_is_armed(p) && !live_device_pages())
		;
	HMMU_CHECK_INT(write(blocked.ends[1], q, HALF), HALF);
	live_join(reader);
	live_join(taker);
	HMMU_CHECK_INT(blocked.got, HALF);
	LIVE_CHECK(end, HALF, 2);
	LIVE_CHECK(p, PAGE, 1);
	live_close();
}

static void test_io_cancelled_read_lets_go(void)
{
	char *p = live_map_small(PAGES, 1);
	pthread_t thread;
	void *ret;

	live_open_served();
	live_take(p, BYTES);
	thread = start_blocked(p, HALF);
	check_stayed(p, is_lent() ? PAGES / 2 : 0);
	HMMU_CHECK_INT(pthread_cancel(thread), 0);
	HMMU_CHECK_INT(pthread_join(thread, &ret), 0);
	HMMU_CHECK(ret == PTHREAD_CANCELED);
	check_stayed(p, 0);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

static sigjmp_buf out;

static void jump_out(int number)
{
	(void)number;
	siglongjmp(out, 1);
}

/* Once more from the same place, and what the first one held is free. */
static HMMU_NOINLINE void read_until_alarm(char *p, size_t bytes)
{
	if (!sigsetjmp(out, 1))
		(void)!read(blocked.ends[0], p, bytes);
}

static void test_io_left_read_lets_go(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open_served();
	live_take(p, BYTES);
	HMMU_CHECK_OK(pipe(blocked.ends));
	signal(SIGALRM, jump_out);
	ualarm(20000, 0);
	read_until_alarm(p, HALF);
	HMMU_CHECK_INT(fcntl(blocked.ends[0], F_SETFL, O_NONBLOCK), 0);
	read_until_alarm(p, 1);
	check_stayed(p, 0);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* Races ---------------------------------------------------------------------- */

static struct {
	_Atomic unsigned int stop;
	int ends[2];
	char *p;
	char *q;
	unsigned int rounds;
} race;

static bool is_over(void)
{
	return atomic_load_explicit(&race.stop, memory_order_acquire);
}

static void *take_again(void *arg)
{
	(void)arg;
	while (!is_over()) {
		live_migrate(live_device, race.p, BYTES);
		live_migrate(live_device, race.q, BYTES);
	}
	return NULL;
}

/* The whole of it, as a pipe gives it in parts. */
static void read_all(int fd, char *p, size_t bytes)
{
	ssize_t n;

	for (; bytes; p += n, bytes -= (size_t)n) {
		n = read(fd, p, bytes);
		HMMU_CHECK(n > 0);
	}
}

static void write_all(int fd, const char *p, size_t bytes)
{
	ssize_t n;

	for (; bytes; p += n, bytes -= (size_t)n) {
		n = write(fd, p, bytes);
		HMMU_CHECK(n > 0);
	}
}

static void *write_rounds(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < race.rounds; i++) {
		live_fill(race.p, BYTES, i);
		write_all(race.ends[1], race.p, BYTES);
	}
	return NULL;
}

static void test_io_pipe_while_it_migrates(void)
{
	pthread_t taker, writer;
	unsigned int i;

	race.rounds = LIVE_SANITIZED ? 100 : 400;
	race.p = live_map_small(PAGES, 1);
	race.q = live_map_small(PAGES, 2);
	HMMU_CHECK_OK(pipe(race.ends));
	live_open_served();
	live_take(race.p, BYTES);
	taker = live_thread(take_again, NULL);
	writer = live_thread(write_rounds, NULL);
	for (i = 0; i < race.rounds; i++) {
		read_all(race.ends[0], race.q, BYTES);
		LIVE_CHECK(race.q, BYTES, i);
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(taker);
	live_join(writer);
	live_close();
}

static _Atomic unsigned int handled;

/* A handler may write: of memory that the thread it interrupts is taking. */
static void handler_writes(int number)
{
	int saved = errno;

	(void)number;
	if (pwrite(race.ends[1], race.p + 3 * PAGE, PAGE, 0) == PAGE)
		atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
	else
		atomic_store_explicit(&race.stop, 2, memory_order_relaxed);
	errno = saved;
}

static void *send_signals(void *arg)
{
	pthread_t *to = arg;

	while (!is_over()) {
		pthread_kill(*to, SIGUSR1);
		usleep(50);
	}
	return NULL;
}

static void test_io_handler_writes_while_it_migrates(void)
{
	struct sigaction act = { .sa_handler = handler_writes,
				 .sa_flags = SA_RESTART };
	uint64_t end = live_now_ns() + 1000000000ull;
	pthread_t self = pthread_self(), sender;

	/* It runs those that came before at its next look, even inside HMMU. */
	if (HMMU_TSAN)
		HMMU_SKIP("signals that ThreadSanitizer does not hold back");
	race.p = live_map_small(PAGES, 1);
	race.ends[1] = file_of(NULL, 0);
	live_open_served();
	live_take(race.p, BYTES);
	HMMU_CHECK_OK(sigaction(SIGUSR1, &act, NULL));
	sender = live_thread(send_signals, &self);
	while (!is_over() && live_now_ns() < end) {
		live_migrate(live_device, race.p, BYTES);
		LIVE_CHECK(race.p, PAGE, 1);
	}
	HMMU_CHECK(!is_over());
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(sender);
	HMMU_CHECK(handled > 0);
	LIVE_CHECK(race.p, BYTES, 1);
	live_close();
}

static void *write_until_over(void *arg)
{
	int file = file_of(NULL, 0);

	while (!is_over())
		HMMU_CHECK_INT(pwrite(file, arg, BYTES, 0), BYTES);
	return NULL;
}

/*
 * The space comes and goes under calls that ask it what is armed. What they are
 * given is not migrated: a call may have begun before the space was there.
 */
static void test_io_while_the_space_closes(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	pthread_t thread = live_thread(write_until_over, p);
	unsigned int i;

	for (i = 0; i < 20; i++) {
		live_open_served();
		live_take(q, BYTES);
		LIVE_CHECK(q, BYTES, 2);
		live_take(q, BYTES);
		live_close();
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(thread);
	LIVE_CHECK(p, BYTES, 1);
	LIVE_CHECK(q, BYTES, 2);
}

static void test_io_child(void)
{
	char *p = live_map_small(PAGES, 1);
	int file = file_of(NULL, 0);
	pid_t child;

	live_open_served();
	live_take(p, BYTES);
	child = fork();
	if (!child) {
		HMMU_CHECK_INT(pwrite(file, p, BYTES, 0), BYTES);
		_exit(0);
	}
	live_child_ok(child);
	check_file(file, BYTES, 1);
	live_close();
}

#define RAW_CHILDREN 50

/* What the parent had on the device reads as zeroes here. */
static void use_as_raw_child(int file, char *p)
{
	pid_t child;

	struct hmmu_space *space;
	const char *why;

	alarm(10);
	HMMU_CHECK_INT(hmmu_space_open(NULL, &why, &space), -ECHILD);
	HMMU_CHECK(why);
	HMMU_CHECK_INT(hmmu_migrate_to_system(live_space, (uintptr_t)p, BYTES,
					      NULL),
		       -ECHILD);
	HMMU_CHECK_INT(pwrite(file, p, BYTES, 0), BYTES);
	HMMU_CHECK_INT(pread(file, p, BYTES, 0), BYTES);
	HMMU_CHECK_OK(munmap(p, BYTES));
	child = fork();
	if (child)
		live_child_ok(child);
	_exit(0);
}

/* A child that runs no handlers has nothing to do with its parent's space. */
static void test_io_raw_child(void)
{
	pthread_t taker;
	pid_t child;
	unsigned int i;
	int file = file_of(NULL, 0);

	/* Whose own locks stay locked in such a child. */
	if (HMMU_TSAN)
		HMMU_SKIP("children that ThreadSanitizer does not follow");
	race.p = live_map_small(PAGES, 1);
	race.q = live_map_small(PAGES, 2);
	live_open_served();
	live_take(race.p, BYTES);
	taker = live_thread(take_again, NULL);
	for (i = 0; i < RAW_CHILDREN; i++) {
		LIVE_CHECK(race.q, PAGE, 2);
		child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (!child)
			use_as_raw_child(file, race.p);
		live_child_ok(child);
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(taker);
	LIVE_CHECK(race.p, BYTES, 1);
	LIVE_CHECK(race.q, BYTES, 2);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_io_write_from_device),
	       HMMU_TEST(test_io_read_into_device),
	       HMMU_TEST(test_io_checked_room), HMMU_TEST(test_io_large_pages),
	       HMMU_TEST(test_io_exclusive_page),
	       HMMU_TEST(test_io_holes_beside_device),
	       HMMU_TEST(test_io_write_copies_no_file),
	       HMMU_TEST(test_io_errno_is_kept),
	       HMMU_TEST(test_io_vectors_from_device),
	       HMMU_TEST(test_io_vectors_into_device),
	       HMMU_TEST(test_io_vector_of_many),
	       HMMU_TEST(test_io_bad_pointers), HMMU_TEST(test_io_partly_bad),
	       HMMU_TEST(test_io_blocked_read_keeps_its_buffer),
	       HMMU_TEST(test_io_blocked_read_into_a_hole),
	       HMMU_TEST(test_io_blocked_read_is_filled_first),
	       HMMU_TEST(test_io_cancelled_read_lets_go),
	       HMMU_TEST(test_io_left_read_lets_go),
	       HMMU_TEST(test_io_pipe_while_it_migrates),
	       HMMU_TEST(test_io_handler_writes_while_it_migrates),
	       HMMU_TEST(test_io_while_the_space_closes),
	       HMMU_TEST(test_io_child),
	       HMMU_TEST_TIMEOUT(test_io_raw_child, 60))
