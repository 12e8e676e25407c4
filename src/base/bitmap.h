/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_BITMAP_H
#define HMMU_BASE_BITMAP_H

/*
 * A bitmap of 512 bits: one bit for each page of a 2 MiB block
 *
 * Ranges are half-open, [start, end) with start <= end <= 512. An empty range
 * is allowed everywhere and has no effect. Zeroed memory is an empty bitmap.
 *
 * Locking: the caller's, mostly the lock of a block. No operation is atomic.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#define HMMU_BITMAP_BITS  512u
#define HMMU_BITMAP_WORDS (HMMU_BITMAP_BITS / 64u)

_Static_assert(HMMU_BITMAP_BITS == HMMU_PAGES_PER_LARGE,
	       "one bit for each page of a large page");

struct hmmu_bitmap512 {
	uint64_t word[HMMU_BITMAP_WORDS];
};

/* The bits of word @w in [@start, @end), which overlaps the word. */
static inline uint64_t hmmu__bitmap_mask(unsigned int w, unsigned int start,
					 unsigned int end)
{
	uint64_t mask = ~0ull;

	if (start > w * 64)
		mask &= ~0ull << (start - w * 64);
	if (end < (w + 1) * 64)
		mask &= ~0ull >> ((w + 1) * 64 - end);
	return mask;
}

/* One past the last word that [@start, @end) overlaps. */
static inline unsigned int hmmu__bitmap_word_end(unsigned int start,
						 unsigned int end)
{
	HMMU_ASSERT(start <= end && end <= HMMU_BITMAP_BITS);
	return start == end ? start / 64 : (end + 63) / 64;
}

static inline void hmmu__bitmap_zero(struct hmmu_bitmap512 *b)
{
	memset(b, 0, sizeof(*b));
}

static inline void hmmu__bitmap_fill(struct hmmu_bitmap512 *b)
{
	memset(b, 0xff, sizeof(*b));
}

static inline void hmmu__bitmap_set(struct hmmu_bitmap512 *b, unsigned int bit)
{
	HMMU_ASSERT(bit < HMMU_BITMAP_BITS);
	b->word[bit / 64] |= 1ull << (bit % 64);
}

static inline bool hmmu__bitmap_test(const struct hmmu_bitmap512 *b,
				     unsigned int bit)
{
	HMMU_ASSERT(bit < HMMU_BITMAP_BITS);
	return (b->word[bit / 64] >> (bit % 64)) & 1;
}

static inline void hmmu__bitmap_set_range(struct hmmu_bitmap512 *b,
					  unsigned int start, unsigned int end)
{
	unsigned int stop = hmmu__bitmap_word_end(start, end);

	for (unsigned int w = start / 64; w < stop; w++)
		b->word[w] |= hmmu__bitmap_mask(w, start, end);
}

static inline void hmmu__bitmap_clear_range(struct hmmu_bitmap512 *b,
					    unsigned int start,
					    unsigned int end)
{
	unsigned int stop = hmmu__bitmap_word_end(start, end);

	for (unsigned int w = start / 64; w < stop; w++)
		b->word[w] &= ~hmmu__bitmap_mask(w, start, end);
}

/* True if a bit of the range is set; false for an empty range. */
static inline bool hmmu__bitmap_any_range(const struct hmmu_bitmap512 *b,
					  unsigned int start, unsigned int end)
{
	unsigned int stop = hmmu__bitmap_word_end(start, end);

	for (unsigned int w = start / 64; w < stop; w++) {
		if (b->word[w] & hmmu__bitmap_mask(w, start, end))
			return true;
	}
	return false;
}

static inline unsigned int hmmu__bitmap_count(const struct hmmu_bitmap512 *b)
{
	unsigned int count = 0;

	for (unsigned int w = 0; w < HMMU_BITMAP_WORDS; w++)
		count += (unsigned int)__builtin_popcountll(b->word[w]);
	return count;
}

static inline bool hmmu__bitmap_is_empty(const struct hmmu_bitmap512 *b)
{
	uint64_t any = 0;

	for (unsigned int w = 0; w < HMMU_BITMAP_WORDS; w++)
		any |= b->word[w];
	return any == 0;
}

static inline bool hmmu__bitmap_is_full(const struct hmmu_bitmap512 *b)
{
	uint64_t all = ~0ull;

	for (unsigned int w = 0; w < HMMU_BITMAP_WORDS; w++)
		all &= b->word[w];
	return all == ~0ull;
}

static inline bool hmmu__bitmap_is_equal(const struct hmmu_bitmap512 *a,
					 const struct hmmu_bitmap512 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * The first bit at or after @from that differs from @flip: 0 finds a set bit,
 * ~0 a clear one. 512: there is none. @from may be 512.
 */
static inline unsigned int
hmmu__bitmap_first_from(const struct hmmu_bitmap512 *b, unsigned int from,
			uint64_t flip)
{
	uint64_t mask = ~0ull << (from % 64);

	for (unsigned int w = from / 64; w < HMMU_BITMAP_WORDS; w++) {
		uint64_t found = (b->word[w] ^ flip) & mask;

		if (found)
			return w * 64 + (unsigned int)__builtin_ctzll(found);
		mask = ~0ull;
	}
	return HMMU_BITMAP_BITS;
}

/* The first set bit at or after @from, or 512. */
static inline unsigned int
hmmu__bitmap_first_set_from(const struct hmmu_bitmap512 *b, unsigned int from)
{
	return hmmu__bitmap_first_from(b, from, 0);
}

/* The first clear bit at or after @from, or 512. */
static inline unsigned int
hmmu__bitmap_first_clear_from(const struct hmmu_bitmap512 *b, unsigned int from)
{
	return hmmu__bitmap_first_from(b, from, ~0ull);
}

#endif
