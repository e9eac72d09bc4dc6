/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A key that is a byte string is the integer in 16 hexadecimal digits, and then
 * as many '.' as it takes.  A value is a piece of a text that was made once,
 * beginning at a place that follows from the key, with the key mixed into its
 * first bytes: so it costs one copy to make and one comparison to check. */

#include "config.h"

#include "client/bench-data.h"

#include "client/cli.h"
#include "client/number.h"
#include "client/random.h"

#include <string.h>

/* How many places there are where a value may begin. */
#define N_PLACES 4096

#define TEXT_SEED 1

static gboolean
refuse_size (const char *what, const char *text, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "%s '%.100s' is not a range; give N or MIN-MAX, the smaller one first", what, text);
  return FALSE;
}

gboolean
cli_bench_data_parse_size (const char *what, const char *text, gsize max, gsize *min_out,
                           gsize *max_out, GError **error)
{
  g_auto (GStrv) ends = g_strsplit (text, "-", 2);
  gboolean is_range = *text != '-' && g_strv_length (ends) == 2;
  guint64 first, last;

  if (!cli_number_parse (what, is_range ? ends[0] : text, is_range ? 1 : 0, max, &first, error))
    return FALSE;
  last = first;
  if (is_range && !cli_number_parse (what, ends[1], 1, max, &last, error))
    return FALSE;
  if (last < first)
    return refuse_size (what, text, error);
  *min_out = first;
  *max_out = last;
  return TRUE;
}

void
cli_bench_data_init (CliBenchData *data)
{
  guint64 random = TEXT_SEED;
  gsize n = data->value_max + N_PLACES;

  if (data->value_max == 0)
    return;
  data->text = g_malloc (n);
  for (gsize i = 0; i < n; i++)
    data->text[i] = (guint8) ('a' + cli_random_below (&random, 26));
}

void
cli_bench_data_clear (CliBenchData *data)
{
  g_clear_pointer (&data->text, g_free);
}

/* The eight hexadecimal digits of `x`, the highest one first: a digit in each
 * byte, and 'a' - '0' - 10 more from 10 on. */
static guint64
make_digits (guint32 x)
{
  guint64 digits = x;

  digits = (digits | digits << 16) & G_GUINT64_CONSTANT (0x0000ffff0000ffff);
  digits = (digits | digits << 8) & G_GUINT64_CONSTANT (0x00ff00ff00ff00ff);
  digits = (digits | digits << 4) & G_GUINT64_CONSTANT (0x0f0f0f0f0f0f0f0f);
  digits += G_GUINT64_CONSTANT (0x3030303030303030)
            + (((digits + G_GUINT64_CONSTANT (0x0606060606060606)) >> 4
                & G_GUINT64_CONSTANT (0x0101010101010101))
               * ('a' - '0' - 10));
  return GUINT64_TO_BE (digits);
}

ShmkvDatum
cli_bench_data_make_key (const CliBenchData *data, guint64 key, guint8 *buffer)
{
  const guint64 digits[] = { make_digits ((guint32) (key >> 32)), make_digits ((guint32) key) };

  if (data->key_size == 0)
    return shmkv_integer (key);
  memcpy (buffer, digits, sizeof digits);
  memset (buffer + sizeof digits, '.', data->key_size - sizeof digits);
  return shmkv_bytes (buffer, data->key_size);
}

gboolean
cli_bench_data_find_key (const CliBenchData *data, const ShmkvDatum *datum, guint64 *key_out)
{
  guint64 key = 0;

  if (data->key_size == 0)
    {
      *key_out = datum->integer;
      return datum->kind == SHMKV_KIND_INTEGER;
    }
  if (datum->kind != SHMKV_KIND_BYTES || datum->length != data->key_size)
    return FALSE;
  for (guint i = 0; i < CLI_BENCH_KEY_SIZE_MIN; i++)
    {
      int digit = g_ascii_xdigit_value ((char) datum->bytes[i]);

      if (digit < 0)
        return FALSE;
      key = key << 4 | (guint64) digit;
    }
  *key_out = key;
  return TRUE;
}

/* Where a value comes from, and how it begins. */
typedef struct
{
  const guint8 *text;
  gsize length;
  guint64 mark;            /* its first bytes are those of the text, changed by these */
  gsize n_marked;
} Piece;

static Piece
find_piece (const CliBenchData *data, guint64 key)
{
  guint64 random = key;
  gsize place = cli_random_below (&random, N_PLACES);
  gsize more = data->value_max - data->value_min;
  Piece piece = { .text = data->text + place, .length = data->value_min,
                  .mark = cli_random_next (&random) };

  if (more > 0)
    piece.length += cli_random_below (&random, more + 1);
  piece.n_marked = MIN (piece.length, sizeof piece.mark);
  return piece;
}

static guint64
get_beginning (const Piece *piece)
{
  guint64 beginning = 0;

  memcpy (&beginning, piece->text, piece->n_marked);
  return beginning ^ piece->mark;
}

ShmkvDatum
cli_bench_data_make_value (const CliBenchData *data, guint64 key, guint8 *buffer)
{
  Piece piece;
  guint64 beginning;

  if (data->value_max == 0)
    return shmkv_integer (cli_bench_get_value (key));
  piece = find_piece (data, key);
  beginning = get_beginning (&piece);
  memcpy (buffer, piece.text, piece.length);
  memcpy (buffer, &beginning, piece.n_marked);
  return shmkv_bytes (buffer, piece.length);
}

gboolean
cli_bench_data_is_value (const CliBenchData *data, guint64 key, const ShmkvDatum *value)
{
  Piece piece;
  guint64 beginning;

  if (data->value_max == 0)
    return value->kind == SHMKV_KIND_INTEGER && value->integer == cli_bench_get_value (key);
  piece = find_piece (data, key);
  beginning = get_beginning (&piece);
  return value->kind == SHMKV_KIND_BYTES && value->length == piece.length
         && memcmp (value->bytes, &beginning, piece.n_marked) == 0
         && memcmp (value->bytes + piece.n_marked, piece.text + piece.n_marked,
                    piece.length - piece.n_marked) == 0;
}
