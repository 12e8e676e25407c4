/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C, with the SSE4.2 instruction or with tables
 *
 * Locking: none. The tables are filled once and only read after that.
 */
#include <pthread.h>
#include <string.h>

#include "base/compiler.h"
#include "soft/crc32c.h"

/* The polynomial 0x1edc6f41 with its bits reversed. */
#define CRC32C_POLYNOMIAL 0x82f63b78u

/*
 * tables[k][b] is the contribution of byte b to the CRC when k more bytes
 * follow it. The look-ups of eight bytes do not depend on one another (slicing
 * by 8).
 */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t crc_of_byte(uint32_t byte)
{
	unsigned int bit;

	for (bit = 0; bit < 8; bit++)
		byte = (byte >> 1) ^ (byte & 1 ? CRC32C_POLYNOMIAL : 0);
	return byte;
}

/* Each further table appends one zero byte to the CRCs of the table before. */
static void fill_tables(void)
{
	unsigned int b, k;
	uint32_t crc;

	for (b = 0; b < 256; b++)
		tables[0][b] = crc_of_byte(b);
	for (k = 1; k < 8; k++) {
		for (b = 0; b < 256; b++) {
			crc = tables[k - 1][b];
			tables[k][b] = tables[0][crc & 0xff] ^ (crc >> 8);
		}
	}
}

void hmmu__crc32c_prepare(void)
{
	(void)pthread_once(&tables_once, fill_tables);
}

bool hmmu__crc32c_has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) uint32_t
hmmu__crc32c_by_instruction(uint32_t crc, const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t wide = ~crc, word;
	uint32_t narrow;

	for (; bytes >= sizeof(word); bytes -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
		p += sizeof(word);
	}
	narrow = (uint32_t)wide;
	while (bytes--)
		narrow = __builtin_ia32_crc32qi(narrow, *p++);
	return ~narrow;
}

static uint32_t crc_of_word(uint64_t word)
{
	uint32_t crc = 0;
	unsigned int i;

	for (i = 0; i < 8; i++)
		crc ^= tables[7 - i][(word >> (8 * i)) & 0xff];
	return crc;
}

uint32_t hmmu__crc32c_by_tables(uint32_t crc, const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t word;

	crc = ~crc;
	for (; bytes >= sizeof(word); bytes -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		crc = crc_of_word(word ^ crc);
		p += sizeof(word);
	}
	while (bytes--)
		crc = tables[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

uint32_t hmmu__crc32c(uint32_t crc, const void *data, size_t bytes)
{
	if (hmmu_likely(hmmu__crc32c_has_instruction()))
		return hmmu__crc32c_by_instruction(crc, data, bytes);
	return hmmu__crc32c_by_tables(crc, data, bytes);
}
