/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C (Castagnoli), the polynomial of iSCSI and of the SSE4.2 instruction
 *
 * hmmu__crc32c(hmmu__crc32c(0, a, n), b, m) is the CRC of a followed by b.
 */
#ifndef HMMU_SOFT_CRC32C_H
#define HMMU_SOFT_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fill the tables. Call it before the first use; later calls do nothing. */
void hmmu__crc32c_prepare(void);

/* Uses the instruction if the processor has it, else the tables. */
uint32_t hmmu__crc32c(uint32_t crc, const void *data, size_t bytes);

/* The two implementations. Tests compare them. */
bool hmmu__crc32c_has_instruction(void);
uint32_t hmmu__crc32c_by_instruction(uint32_t crc, const void *data,
				     size_t bytes);
uint32_t hmmu__crc32c_by_tables(uint32_t crc, const void *data, size_t bytes);

#endif
