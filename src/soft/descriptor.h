/* SPDX-License-Identifier: MIT */
#ifndef HMMU__SOFT_DESCRIPTOR_H
#define HMMU__SOFT_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <hmmu/soft.h>

/* HMMU_SOFT_SUCCESS, or what is wrong with @d. */
uint8_t hmmu__soft_check(const struct hmmu_soft_descriptor *d, bool in_batch);
bool hmmu__soft_is_fenced(const struct hmmu_soft_descriptor *d);
/* True for a move that goes from the end, because the ranges overlap so. */
bool hmmu__soft_is_backward(const struct hmmu_soft_descriptor *d);
bool hmmu__soft_overlaps(uint64_t a, uint64_t b, uint64_t bytes);

/* A pattern as it stands @bytes further on: its lowest byte comes first. */
static inline uint64_t hmmu__soft_turn_pattern(uint64_t pattern, uint64_t bytes)
{
	unsigned int bits = bytes % 8 * 8;

	return bits ? pattern >> bits | pattern << (64 - bits) : pattern;
}

#endif
