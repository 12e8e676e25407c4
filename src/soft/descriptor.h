/* SPDX-License-Identifier: MIT */
/* Descriptor validation; takes no lock. */
#ifndef HMMU__SOFT_DESCRIPTOR_H
#define HMMU__SOFT_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <hmmu/soft.h>

/* Return HMMU_SOFT_SUCCESS, or the status that says why @d is not valid. */
uint8_t hmmu__soft_check(const struct hmmu_soft_descriptor *d, bool in_batch);
bool hmmu__soft_is_fenced(const struct hmmu_soft_descriptor *d);
/* True for a move that must begin at the end, because of an overlap. */
bool hmmu__soft_is_backward(const struct hmmu_soft_descriptor *d);
bool hmmu__soft_overlaps(uint64_t a, uint64_t b, uint64_t bytes);

/* The pattern as it continues after @bytes bytes. Its low byte comes first. */
static inline uint64_t hmmu__soft_turn_pattern(uint64_t pattern, uint64_t bytes)
{
	unsigned int bits = bytes % 8 * 8;

	return bits ? pattern >> bits | pattern << (64 - bits) : pattern;
}

#endif
