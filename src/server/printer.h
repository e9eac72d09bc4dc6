/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints buckets on standard output, in a thread of its own: no worker waits
 * for a slow reader there, and nothing is printed under a bucket's lock. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _ShmkvPrinter ShmkvPrinter;

/* NULL, with `error` set, where the system has no thread left. */
ShmkvPrinter *shmkv_printer_new (GError **error);

/* Prints what it was given, unless nobody reads it any more. */
void shmkv_printer_free (ShmkvPrinter *printer);

/* Whether too much waits to be printed already.  By any thread. */
gboolean shmkv_printer_is_full (ShmkvPrinter *printer);

/* `body`, transfer full, holds `n` encoded pairs.  FALSE, with nothing printed,
 * where too much waits to be printed already.  By any thread. */
gboolean shmkv_printer_print (ShmkvPrinter *printer, guint bucket, GByteArray *body, gsize n);

G_END_DECLS
