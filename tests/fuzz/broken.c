/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A target that is to be broken: for the test of the program around it. */

#include "config.h"

#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_assert_true (size < 3 || data[2] < 0xf0);
  return 0;
}
