/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "soft/crc32c.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *data, size_t bytes);

/* RFC 3720, B.4, and the check value of the CRC catalogue. */
static void check_vectors(crc_fn crc)
{
	unsigned char data[32];
	size_t i;

	assert_int_equal(crc(0, "123456789", 9), 0xe3069283u);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc(0, data, sizeof(data)), 0x8a9136aau);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc(0, data, sizeof(data)), 0x62a8ab43u);
	for (i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	assert_int_equal(crc(0, data, sizeof(data)), 0x46dd794eu);
	assert_int_equal(crc(0x1234, data, 0), 0x1234);
}

static void test_crc32c_tables_give_known_values(void **state)
{
	(void)state;
	hmmu__crc32c_prepare();
	check_vectors(hmmu__crc32c_by_tables);
}

static void test_crc32c_instruction_gives_known_values(void **state)
{
	(void)state;
	if (!hmmu__crc32c_has_instruction())
		skip();
	check_vectors(hmmu__crc32c_by_instruction);
}

static void check_chain(crc_fn crc, const unsigned char *data, size_t bytes)
{
	uint32_t whole = crc(0, data, bytes);
	size_t cut;

	for (cut = 0; cut <= bytes; cut++)
		assert_int_equal(
			crc(crc(0, data, cut), data + cut, bytes - cut), whole);
}

static void test_crc32c_goes_on_from_a_part(void **state)
{
	unsigned char data[67];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 37 + 11);
	hmmu__crc32c_prepare();
	check_chain(hmmu__crc32c_by_tables, data, sizeof(data));
	check_chain(hmmu__crc32c, data, sizeof(data));
	assert_int_equal(hmmu__crc32c(0, data, sizeof(data)),
			 hmmu__crc32c_by_tables(0, data, sizeof(data)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c_tables_give_known_values),
		cmocka_unit_test(test_crc32c_instruction_gives_known_values),
		cmocka_unit_test(test_crc32c_goes_on_from_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
