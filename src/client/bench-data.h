/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keys and values of a benchmark: integers, or byte strings that are made
 * from them.  Every value follows from its key, so that every answer can be
 * checked by whoever knows the key. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

#define CLI_BENCH_KEY_SIZE_MIN 16

typedef struct
{
  gsize key_size;          /* of byte strings; 0: keys are integers */
  gsize value_min;
  gsize value_max;         /* 0: values are integers */
  guint8 *text;            /* what the values are pieces of */
} CliBenchData;

/* "N" or "MIN-MAX", in bytes, at most `max`; 0 is an integer.  `what` names it in
 * the error, which is CLI_ERROR_USAGE. */
gboolean cli_bench_data_parse_size (const char *what, const char *text, gsize max,
                                    gsize *min_out, gsize *max_out, GError **error);

/* Sizes as they are in `data`. */
void cli_bench_data_init (CliBenchData *data);
void cli_bench_data_clear (CliBenchData *data);

static inline gboolean
cli_bench_data_is_plain (const CliBenchData *data)
{
  return data->key_size == 0 && data->value_max == 0;
}

/* The integer that every benchmark inserts under a key: another one for another
 * key. */
static inline guint64
cli_bench_get_value (guint64 key)
{
  return key * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

/* The key that `key` stands for; `buffer` has room for key_size bytes. */
ShmkvDatum cli_bench_data_make_key (const CliBenchData *data, guint64 key, guint8 *buffer);

/* Its value; `buffer` has room for value_max bytes. */
ShmkvDatum cli_bench_data_make_value (const CliBenchData *data, guint64 key, guint8 *buffer);

/* Whether `value` is that of `key`. */
gboolean cli_bench_data_is_value (const CliBenchData *data, guint64 key, const ShmkvDatum *value);

/* What `datum` was made from; FALSE where it was not made here. */
gboolean cli_bench_data_find_key (const CliBenchData *data, const ShmkvDatum *datum,
                                  guint64 *key_out);

G_END_DECLS
