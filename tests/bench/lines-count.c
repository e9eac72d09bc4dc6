/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counts cache lines in a trace of valgrind's lackey, for tests/bench/lines.
 *
 *   lines-count AREAS <TRACE
 *
 * AREAS is what tests/bench/turns --areas printed: what lies where, and whose
 * turn it is from a store to which address on.  Prints, separated by tabs,
 *
 *   lines WHO AREA LOADED STORED STORES
 *
 * how many different lines of the area WHO (client or worker) loads from, and
 * stores to, in the turn where these are most, and how many stores that were; and
 *
 *   shared AREA HOW
 *
 * for areas of which some line was stored to by one client or its worker, and by
 * the other client or its worker stored to, too (HOW is stored), or only loaded
 * from (loaded).  Nothing else is shared between the two. */

#include "config.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 64u
#define N_PAIRS 2
#define BEGIN "begin "
#define NOT_COUNTED "not counted"

/* An area that is named as others are is counted together with them. */
typedef struct
{
  guint64 begin, size;
  guint index;
  guint kind;
} Area;

typedef enum
{
  CLIENT,
  WORKER,
  NOBODY,
} Role;

static const char *const role_names[] = { "client", "worker" };

/* What somebody did to a line; a value in a hash table. */
enum
{
  LOADED = 1,
  STORED = 2,
};

typedef struct
{
  guint loaded, stored, stores;
} Figures;

typedef struct
{
  GArray *areas;                    /* of Area, by address */
  GPtrArray *kinds;                 /* names */
  Role role;
  guint pair;
  GHashTable *turn[N_PAIRS][NOBODY]; /* lines of the turn: what was done */
  Figures *now[N_PAIRS][NOBODY];    /* of the turn, by kind */
  Figures *most[NOBODY];
  GHashTable *ever[N_PAIRS];        /* lines: what was done */
  guint turns;
} Count;

/* ----------------------------------------------------------------------- areas */

static guint
get_kind (Count *count, const char *name)
{
  for (guint i = 0; i < count->kinds->len; i++)
    if (g_str_equal (g_ptr_array_index (count->kinds, i), name))
      return i;
  g_ptr_array_add (count->kinds, g_strdup (name));
  return count->kinds->len - 1;
}

static const char *
get_name (const Count *count, guint kind)
{
  return g_ptr_array_index (count->kinds, kind);
}

static gint
compare_areas (gconstpointer a, gconstpointer b)
{
  guint64 first = ((const Area *) a)->begin, second = ((const Area *) b)->begin;

  return (first > second) - (first < second);
}

static void
read_areas (Count *count, const char *path)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, &error))
    g_error ("%s", error->message);
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 4);
      Area area;

      if (g_strv_length (words) != 4)
        g_error ("%s: this is no area: %s", path, lines[i]);
      area.begin = g_ascii_strtoull (words[0], NULL, 10);
      area.size = g_ascii_strtoull (words[1], NULL, 10);
      area.index = (guint) g_ascii_strtoull (words[2], NULL, 10);
      area.kind = get_kind (count, words[3]);
      g_array_append_val (count->areas, area);
    }
  g_array_sort (count->areas, compare_areas);
}

/* NULL where the address is in none. */
static const Area *
find_area (const Count *count, guint64 address)
{
  guint low = 0, high = count->areas->len;

  while (low < high)
    {
      guint middle = (low + high) / 2;
      const Area *area = &g_array_index (count->areas, Area, middle);

      if (address < area->begin)
        high = middle;
      else if (address >= area->begin + area->size)
        low = middle + 1;
      else
        return area;
    }
  return NULL;
}

/* ---------------------------------------------------------------------- counting */

/* The line's name, which is the same in each mapping of it. */
static guint64
name_line (const Area *area, guint64 address)
{
  guint64 line = (address - area->begin / LINE * LINE) / LINE;

  return (guint64) area->kind << 56 | (guint64) area->index << 32 | line;
}

static void
end_turn (Count *count, guint pair)
{
  for (guint role = 0; role < NOBODY; role++)
    {
      for (guint kind = 0; kind < count->kinds->len; kind++)
        {
          Figures *now = &count->now[pair][role][kind], *most = &count->most[role][kind];

          most->loaded = MAX (most->loaded, now->loaded);
          most->stored = MAX (most->stored, now->stored);
          most->stores = MAX (most->stores, now->stores);
          *now = (Figures) { 0 };
        }
      g_hash_table_remove_all (count->turn[pair][role]);
    }
}

static void
begin (Count *count, const Area *area)
{
  const char *who = get_name (count, area->kind) + strlen (BEGIN);

  count->pair = area->index;
  if (g_str_equal (who, "client"))
    {
      end_turn (count, count->pair);
      count->turns++;
    }
  count->role = g_str_has_prefix (who, "client") ? CLIENT
                : g_str_equal (who, "worker")    ? WORKER
                                                 : NOBODY;
}

/* Adds to what was done to a line; returns what is new. */
static guint
note (GHashTable *lines, guint64 line, guint done)
{
  gpointer key = GSIZE_TO_POINTER (line);
  guint before = GPOINTER_TO_UINT (g_hash_table_lookup (lines, key));

  if ((done & ~before) != 0)
    g_hash_table_insert (lines, key, GUINT_TO_POINTER (before | done));
  return done & ~before;
}

static void
touch (Count *count, const Area *area, guint64 address, guint done)
{
  guint64 line = name_line (area, address);
  Figures *now = &count->now[count->pair][count->role][area->kind];
  guint news = note (count->turn[count->pair][count->role], line, done);

  now->loaded += (news & LOADED) != 0;
  now->stored += (news & STORED) != 0;
  now->stores += (done & STORED) != 0;
  note (count->ever[count->pair], line, done);
}

static void
access_memory (Count *count, guint64 address, guint done)
{
  const Area *area = find_area (count, address);
  Area elsewhere = { .begin = 0 };

  if (area != NULL && g_str_has_prefix (get_name (count, area->kind), BEGIN))
    {
      if ((done & STORED) != 0)
        begin (count, area);
      return;
    }
  if (count->role == NOBODY
      || (area != NULL && g_str_equal (get_name (count, area->kind), NOT_COUNTED)))
    return;
  if (area == NULL)
    {
      elsewhere.kind = get_kind (count, "elsewhere");
      area = &elsewhere;
    }
  touch (count, area, address, done);
}

static void
read_trace (Count *count)
{
  char text[256];

  while (fgets (text, sizeof text, stdin) != NULL)
    {
      guint done = text[1] == 'L' ? LOADED : text[1] == 'S' ? STORED : LOADED | STORED;

      if (text[0] == ' ' && strchr ("LSM", text[1]) != NULL && text[2] == ' ')
        access_memory (count, g_ascii_strtoull (text + 3, NULL, 16), done);
    }
}

/* --------------------------------------------------------------------- the result */

static void
print_lines (const Count *count)
{
  for (guint role = 0; role < NOBODY; role++)
    for (guint kind = 0; kind < count->kinds->len; kind++)
      {
        const Figures *most = &count->most[role][kind];

        if (most->loaded + most->stored > 0)
          printf ("lines\t%s\t%s\t%u\t%u\t%u\n", role_names[role], get_name (count, kind),
                  most->loaded, most->stored, most->stores);
      }
}

static void
print_shared (const Count *count)
{
  g_autofree gboolean *stored = g_new0 (gboolean, count->kinds->len);
  g_autofree gboolean *loaded = g_new0 (gboolean, count->kinds->len);

  for (guint pair = 0; pair < N_PAIRS; pair++)
    {
      GHashTableIter iter;
      gpointer line, done;

      g_hash_table_iter_init (&iter, count->ever[pair]);
      while (g_hash_table_iter_next (&iter, &line, &done))
        {
          guint kind = (guint) (GPOINTER_TO_SIZE (line) >> 56);
          guint other = GPOINTER_TO_UINT (g_hash_table_lookup (count->ever[!pair], line));

          if ((GPOINTER_TO_UINT (done) & STORED) == 0 || other == 0)
            continue;
          stored[kind] |= (other & STORED) != 0;
          loaded[kind] |= (other & STORED) == 0;
        }
    }
  for (guint kind = 0; kind < count->kinds->len; kind++)
    {
      if (stored[kind])
        printf ("shared\t%s\tstored\n", get_name (count, kind));
      if (loaded[kind])
        printf ("shared\t%s\tloaded\n", get_name (count, kind));
    }
}

int
main (int argc, char **argv)
{
  Count count = { .role = NOBODY };

  if (argc != 2)
    {
      g_printerr ("usage: lines-count AREAS <TRACE\n");
      return 2;
    }
  count.areas = g_array_new (FALSE, FALSE, sizeof (Area));
  count.kinds = g_ptr_array_new_with_free_func (g_free);
  read_areas (&count, argv[1]);
  get_kind (&count, "elsewhere");
  for (guint role = 0; role < NOBODY; role++)
    count.most[role] = g_new0 (Figures, count.kinds->len);
  for (guint pair = 0; pair < N_PAIRS; pair++)
    {
      count.ever[pair] = g_hash_table_new (NULL, NULL);
      for (guint role = 0; role < NOBODY; role++)
        {
          count.turn[pair][role] = g_hash_table_new (NULL, NULL);
          count.now[pair][role] = g_new0 (Figures, count.kinds->len);
        }
    }
  read_trace (&count);
  for (guint pair = 0; pair < N_PAIRS; pair++)
    end_turn (&count, pair);
  if (count.turns == 0)
    g_error ("there is no turn in the trace");
  print_lines (&count);
  print_shared (&count);
  return 0;
}
