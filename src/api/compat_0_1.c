/* SPDX-License-Identifier: MIT */
/*
 * The names of version 0.1 as functions of the library, for programs that were
 * built against it and for those that load it without a compiler (ctypes)
 *
 * Each is the inline function of the header. No header declares it.
 */
#define HMMU_NAME_OF_0_1 HMMU_API
/* The library has its own hmmu_port_open(), below. */
#define hmmu_port_open	 port_open_of_header

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#include <hmmu.h>

#undef hmmu_port_open

/* The layout that the inline code of 0.1 has in programs which call this. */
#define LAYOUT_0_1     1u
#define HEAD_BYTES_0_1 (40 + (64 + 256) * 3 * 8)

_Static_assert(HMMU_PORT_LAYOUT != LAYOUT_0_1 ||
		       sizeof(struct hmmu_port) == HEAD_BYTES_0_1,
	       "another TLB is another layout");

HMMU_API HMMU_MUST_CHECK int hmmu_port_open(struct hmmu_device *device,
					    struct hmmu_port **ret_port)
{
	return hmmu__port_open_layout(device, LAYOUT_0_1, HEAD_BYTES_0_1,
				      ret_port);
}
