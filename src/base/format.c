/* SPDX-License-Identifier: MIT */
/*
 * The formatter
 *
 * Locking: none. It accesses no memory but its arguments and the caller's
 * buffer.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"

/* The caller's buffer; @length also counts bytes that do not fit. */
struct output {
	char *buf;
	size_t bytes;
	size_t length;
};

static void put_char(struct output *out, char c)
{
	if (out->length < out->bytes)
		out->buf[out->length] = c;
	out->length++;
}

static void put_string(struct output *out, const char *s)
{
	if (!s)
		s = "(null)";
	while (*s)
		put_char(out, *s++);
}

static void put_number(struct output *out, unsigned long long value,
		       unsigned int base)
{
	char digits[20]; /* 2^64 has 20 decimal digits */
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(out, digits[--n]);
}

static void put_signed(struct output *out, long long value)
{
	unsigned long long magnitude = (unsigned long long)value;

	if (value < 0) {
		put_char(out, '-');
		/* Unsigned: -LLONG_MIN overflows. */
		magnitude = 0 - magnitude;
	}
	put_number(out, magnitude, 10);
}

/* A directive: its length modifier and its letter. */
struct directive {
	bool is_long; /* l, ll and z: all are 64 bits here */
	char letter;
};

_Static_assert(sizeof(long) == sizeof(long long) &&
		       sizeof(long) == sizeof(size_t),
	       "one size for all long directives");

static const char *directive_read(const char *fmt, struct directive *d)
{
	d->is_long = *fmt == 'l' || *fmt == 'z';
	while (*fmt == 'l' || *fmt == 'z')
		fmt++;
	d->letter = *fmt;
	return *fmt ? fmt + 1 : fmt;
}

/* A va_list is an array on x86-64; a struct passes it by reference. */
struct arguments {
	va_list list;
};

static unsigned long long take_unsigned(struct arguments *args, bool is_long)
{
	return is_long ? va_arg(args->list, unsigned long) :
			 va_arg(args->list, unsigned int);
}

static long long take_signed(struct arguments *args, bool is_long)
{
	return is_long ? va_arg(args->list, long) : va_arg(args->list, int);
}

static void directive_write(struct output *out, const struct directive *d,
			    struct arguments *args)
{
	switch (d->letter) {
	case 's':
		put_string(out, va_arg(args->list, const char *));
		break;
	case 'c':
		put_char(out, (char)va_arg(args->list, int));
		break;
	case 'd':
	case 'i':
		put_signed(out, take_signed(args, d->is_long));
		break;
	case 'u':
		put_number(out, take_unsigned(args, d->is_long), 10);
		break;
	case 'x':
		put_number(out, take_unsigned(args, d->is_long), 16);
		break;
	case 'p':
		put_string(out, "0x");
		put_number(out, (uintptr_t)va_arg(args->list, void *), 16);
		break;
	case '%':
		put_char(out, '%');
		break;
	default: /* unknown: make it visible, and use no argument */
		put_string(out, "%?");
		break;
	}
}

size_t hmmu__vformat(char *buf, size_t bytes, const char *fmt, va_list args)
{
	struct output out = { .buf = buf, .bytes = bytes, .length = 0 };
	struct arguments copy;
	struct directive d;

	va_copy(copy.list, args);
	while (*fmt) {
		if (*fmt != '%') {
			put_char(&out, *fmt++);
			continue;
		}
		fmt = directive_read(fmt + 1, &d);
		directive_write(&out, &d, &copy);
	}
	va_end(copy.list);
	if (bytes)
		buf[hmmu_min(out.length, bytes - 1)] = '\0';
	return out.length;
}

size_t hmmu__format(char *buf, size_t bytes, const char *fmt, ...)
{
	size_t length;
	va_list args;

	va_start(args, fmt);
	length = hmmu__vformat(buf, bytes, fmt, args);
	va_end(args);
	return length;
}
