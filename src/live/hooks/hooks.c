/* SPDX-License-Identifier: MIT */
/*
 * Hooks: C library calls that change mappings, with an invalidation around them
 *
 * Overview: libhmmu exports functions with the names of the C library's. A
 * program that is linked with libhmmu, and each library it loads, is bound to
 * them. Calls inside the C library and raw system calls are not; they raise
 * events (service.c).
 *
 * If no space is open, a hook costs one load. For memory that no device has
 * used, it costs a walk of a few words.
 *
 *	hook                                device
 *	invalidate begin: empty mirrors,
 *	  end sections                      fault: waits
 *	no device page: end the
 *	  registration (no event)
 *	munmap
 *	some device pages: its event has
 *	  dropped them
 *	invalidate end                      looks up: not mapped: -EFAULT
 *
 * A hook drops no device pages itself. Only the events, in their order, show
 * which mapping a page belongs to:
 *
 *	one thread                          another
 *	mremap(R to Q), raw: R's pages
 *	  stay recorded at R until its
 *	  event is applied
 *	                                    mmap: R, chosen by the kernel
 *	                                    munmap(R): drops nothing
 *	event: R has moved to Q
 *
 * Locking: the caller holds none. Hooks take the events lock exclusively to
 * suspend a registration.
 *
 * Not supported: mprotect and shmdt by raw system calls, and raw system calls
 * on mappings that cannot be watched (files). They raise no event (E6).
 */

/* Both names of mmap are defined here: the headers must not rename one. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <hmmu/base.h>

#include "base/process.h"
#include "base/thread.h"
#include "live/hooks/hooks.h"
#include "live/current.h"
#include "live/inbox.h"
#include "live/state.h"
#include "live/look.h"
#include "live/records.h"
#include "live/watch.h"

struct hmmu_live *hmmu__hooked(void)
{
	struct hmmu_live *l = hmmu__live_current();

	return l && l->hooks && hmmu__process_is_ours() ? l : NULL;
}

long hmmu__hook_errno(long ret)
{
	if (!hmmu__sys_is_error(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

/*
 * NULL: the thread may not enter, or there is no memory. The call then raises
 * events.
 */
static struct hmmu_thread *try_enter(void)
{
	return hmmu__thread_may_enter() ? hmmu__enter() : NULL;
}

/*
 * True: the range is in use, and @h has begun. The caller may have begun
 * another.
 */
static bool hook_begin_more(struct hmmu_hook *h, uintptr_t start, size_t bytes,
			    enum hmmu_event event)
{
	uintptr_t end = hmmu_round_up(start + bytes, HMMU_PAGE_BYTES);

	h->live = hmmu__hooked();
	if (hmmu_likely(!h->live))
		return false;
	h->space = h->live->mm.space;
	if (!bytes || start % HMMU_PAGE_BYTES || end <= start ||
	    !hmmu__core_may_be_used(h->space, start, end))
		return false;
	h->self = try_enter();
	if (!h->self)
		return false;
	if (!hmmu__core_is_used(h->space, start, end)) {
		hmmu__leave(h->self);
		return false;
	}
	/*
	 * The calls below wait for sections of other threads, which may wait
	 * for the section of this one.
	 */
	hmmu__core_break_own(h->space);
	h->suspended = false;
	h->call = (struct hmmu_invalidate_call){
		.inv = { .start = start, .end = end, .event = event },
	};
	hmmu__core_invalidate_begin(h->space, &h->call);
	return true;
}

/* HMMU's own calls are no changes of the program's memory. */
bool hmmu__hook_begin(struct hmmu_hook *h, uintptr_t start, size_t bytes,
		      enum hmmu_event event)
{
	return !hmmu__is_inside() && hook_begin_more(h, start, bytes, event);
}

void hmmu__hook_end(struct hmmu_hook *h)
{
	hmmu__core_invalidate_end(h->space, &h->call);
	hmmu__leave(h->self);
}

/*
 * If no device has a page of the mapping, no event is needed. Remove its record
 * before the mapping: afterwards another mapping may be at the address. The
 * lock is held exclusively: a take that is running finishes before, and a later
 * one finds no record.
 *
 * A mapping with device pages keeps its registration: the call may fail, and
 * then threads that wait for these pages must wait on.
 */
void hmmu__hook_suspend(struct hmmu_hook *h) HMMU_NO_TSA
{
	uintptr_t start = h->call.inv.start;
	uintptr_t end = h->call.inv.end;

	hmmu__rw_write_lock(&h->live->events);
	h->suspended = !hmmu__core_is_held(h->space, start, end) &&
		       hmmu__watch_suspend(h->live, start, end);
	if (h->suspended)
		hmmu__watch_cut(h->live, start, end);
	hmmu__rw_write_unlock(&h->live->events);
}

void hmmu__hook_unmapped(struct hmmu_hook *h, bool done)
{
	uintptr_t start = h->call.inv.start;
	uintptr_t end = h->call.inv.end;

	if (!h->suspended)
		hmmu__live_events_wait(&h->live->mm);
	else if (!done)
		hmmu__watch_resume(h->live, start, end);
	hmmu__core_invalidate_end(h->space, &h->call);
	/* The rest of the mapping may have no device page any more. */
	hmmu__live_release(&h->live->mm, start ? start - 1 : 0, end + 1);
	hmmu__leave(h->self);
}

HMMU_API int munmap(void *addr, size_t length)
{
	uintptr_t start = (uintptr_t)addr;
	struct hmmu_hook h;
	int ret;

	if (!hmmu__hook_begin(&h, start, length, HMMU_EVENT_UNMAP))
		return (int)hmmu__hook_errno(hmmu__sys_munmap(start, length));
	hmmu__hook_suspend(&h);
	ret = hmmu__sys_munmap(start, length);
	hmmu__hook_unmapped(&h, !ret);
	return (int)hmmu__hook_errno(ret);
}

static void *map(void *addr, size_t length, int prot, int flags, int fd,
		 off_t offset)
{
	return (void *)hmmu__hook_errno(hmmu__sys_mmap(
		(uintptr_t)addr, length, prot, flags, fd, offset));
}

/* Attempts: other threads may migrate the pages to a device again. */
#define HOME_ROUNDS 8

/*
 * A mapping over others can be refused (RLIMIT_AS, overcommit) after the kernel
 * has sent the unmap event. The old mapping must then be unchanged: migrate its
 * pages back first, so that the event drops nothing.
 */
void hmmu__hook_home_before(struct hmmu_hook *h)
{
	uintptr_t start = h->call.inv.start;
	uintptr_t end = h->call.inv.end;
	int round;

	for (round = 0;
	     round < HOME_ROUNDS && hmmu__core_is_held(h->space, start, end);
	     round++) {
		hmmu__core_invalidate_end(h->space, &h->call);
		(void)hmmu__core_home(h->space, start, end);
		hmmu__core_invalidate_begin(h->space, &h->call);
	}
}

HMMU_API void *mmap(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset)
{
	struct hmmu_hook h;
	void *ret;

	if (hmmu_likely(!(flags & MAP_FIXED)) || flags & MAP_FIXED_NOREPLACE ||
	    !hmmu__hook_begin(&h, (uintptr_t)addr, length, HMMU_EVENT_UNMAP))
		return map(addr, length, prot, flags, fd, offset);
	hmmu__hook_home_before(&h);
	hmmu__hook_suspend(&h);
	ret = map(addr, length, prot, flags, fd, offset);
	hmmu__hook_unmapped(&h, ret != MAP_FAILED);
	return ret;
}

HMMU_API void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
		      off64_t offset) __attribute__((alias("mmap")));

static bool discards(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_GUARD_INSTALL:
		return true;
	default:
		return false;
	}
}

#define RUNS 64u

/*
 * Guards were installed up to the page that was refused: drop device pages
 * under guards and keep the others. A kernel that does not report guards
 * reports them as swapped, and a device page is not swapped.
 */
static void drop_guarded(struct hmmu_hook *h)
{
	const uint32_t want = HMMU__PAGE_PRESENT | HMMU__PAGE_SWAPPED |
			      HMMU__PAGE_GUARD;
	uintptr_t at = h->call.inv.start, next;
	struct hmmu__page_run runs[RUNS];
	size_t n, i;

	for (; at < h->call.inv.end; at = next) {
		if (hmmu__pagescan(&h->live->pages, at, h->call.inv.end, want,
				   runs, RUNS, &n, &next))
			return;
		for (i = 0; i < n; i++)
			if (!(runs[i].flags & HMMU__PAGE_PRESENT))
				hmmu__core_drop(h->space, runs[i].start,
						runs[i].end);
	}
}

/*
 * A discard raises an event, which the call waits for and which drops device
 * pages. A guard raises none: drop the pages here, after pending events of
 * mappings that were at the address before.
 */
static void finish_discard(struct hmmu_hook *h, int advice, bool done)
{
	if (advice != MADV_GUARD_INSTALL)
		return;
	hmmu__live_quiet(&h->live->mm, HMMU_FOREVER);
	if (done)
		hmmu__core_drop(h->space, h->call.inv.start, h->call.inv.end);
	else
		drop_guarded(h);
}

HMMU_API int madvise(void *addr, size_t length, int advice)
{
	uintptr_t start = (uintptr_t)addr;
	struct hmmu_hook h;
	int ret;

	if (hmmu_likely(!discards(advice)) ||
	    !hmmu__hook_begin(&h, start, length, HMMU_EVENT_CLEAR))
		return (int)hmmu__hook_errno(
			hmmu__sys_madvise(start, length, advice));
	ret = hmmu__sys_madvise(start, length, advice);
	finish_discard(&h, advice, !ret);
	/*
	 * The event is known to be this call's only while the invalidation is
	 * active.
	 */
	hmmu__live_events_wait(&h.live->mm);
	hmmu__hook_end(&h);
	return (int)hmmu__hook_errno(ret);
}

/* mprotect raises no event: only the hook reports it (E6). */
HMMU_API int mprotect(void *addr, size_t length, int prot)
{
	uintptr_t start = (uintptr_t)addr;
	struct hmmu_hook h;
	int ret;

	if (!hmmu__hook_begin(&h, start, length, HMMU_EVENT_PROTECTION_VMA))
		return (int)hmmu__hook_errno(
			hmmu__sys_mprotect(start, length, prot));
	ret = hmmu__sys_mprotect(start, length, prot);
	hmmu__hook_end(&h);
	return (int)hmmu__hook_errno(ret);
}

static void *remap(void *old, size_t old_bytes, size_t new_bytes, int flags,
		   void *to)
{
	return (void *)hmmu__hook_errno(hmmu__sys_mremap(
		(uintptr_t)old, old_bytes, new_bytes, flags, (uintptr_t)to));
}

/*
 * While one of several mappings is registered, mremap does not move them as
 * one, though without registration they may be one (E3). So for this call
 * device pages migrate back and the registration ends. Do this before the call:
 * Linux 6.17 moves the mappings before the registered one, and then fails.
 */
static bool is_several(const struct hmmu_hook *h)
{
	struct hmmu_vma_info vma;

	return !hmmu__live_describe(&h->live->mm, h->call.inv.start, &vma) &&
	       vma.end < h->call.inv.end;
}

static void *remap_unwatched(struct hmmu_hook *h, void *old, size_t old_bytes,
			     size_t new_bytes, int flags, void *to)
{
	void *ret;

	hmmu__hook_home_before(h);
	hmmu__hook_suspend(h);
	ret = remap(old, old_bytes, new_bytes, flags, to);
	if (h->suspended)
		hmmu__watch_resume(h->live, h->call.inv.start, h->call.inv.end);
	return ret;
}

/*
 * A mapping that has grown, in place or elsewhere, gets one record again. Also
 * if nobody uses it any more: it is still registered. No other thread may
 * change the new mapping before the call returns.
 */
static void record_growth(uintptr_t to, size_t old_bytes, size_t new_bytes)
{
	struct hmmu_live *l = hmmu__hooked();
	struct hmmu_thread *self;

	if (!l || new_bytes <= old_bytes)
		return;
	self = try_enter();
	if (!self)
		return;
	/*
	 * The calls below wait for sections of other threads, which may wait
	 * for the section of this one.
	 */
	hmmu__core_break_own(l->mm.space);
	/* First apply the event of its move. */
	hmmu__live_events_wait(&l->mm);
	hmmu__watch_extend(l, hmmu_round_up(to + old_bytes, HMMU_PAGE_BYTES),
			   hmmu_round_up(to + new_bytes, HMMU_PAGE_BYTES));
	hmmu__leave(self);
}

/*
 * Events report where registered memory has moved, and the call waits until the
 * service has read them. The hook adds that subscribers are notified before the
 * call, and that all events are applied when it returns.
 */
HMMU_API void *mremap(void *old_addr, size_t old_len, size_t new_len, int flags,
		      ...)
{
	struct hmmu_hook from, over;
	bool inside = hmmu__is_inside(), has_from, has_over = false;
	void *to = NULL, *ret;
	va_list ap;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	has_from = hmmu__hook_begin(&from, (uintptr_t)old_addr, old_len,
				    HMMU_EVENT_UNMAP);
	if (flags & MREMAP_FIXED && !inside)
		has_over = hook_begin_more(&over, (uintptr_t)to, new_len,
					   HMMU_EVENT_UNMAP);
	if (has_from && is_several(&from))
		ret = remap_unwatched(&from, old_addr, old_len, new_len, flags,
				      to);
	else
		ret = remap(old_addr, old_len, new_len, flags, to);
	if (old_len && ret != MAP_FAILED && !inside)
		record_growth((uintptr_t)ret, old_len, new_len);
	if (has_over) {
		hmmu__live_quiet(&over.live->mm, HMMU_FOREVER);
		hmmu__hook_end(&over);
	}
	if (has_from) {
		hmmu__live_quiet(&from.live->mm, HMMU_FOREVER);
		hmmu__hook_end(&from);
	}
	return ret;
}

/* Looked up as for the program: the first munmap in the order of symbols. */
int hmmu__hooks_bound(void)
{
	Dl_info info, own;

	return dladdr(dlsym(RTLD_DEFAULT, "munmap"), &info) &&
	       dladdr((const void *)&hmmu__live_now, &own) &&
	       info.dli_fbase == own.dli_fbase;
}
