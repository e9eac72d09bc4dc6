/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "fuzz/fuzz.h"

#include "server/server.h"
#include "transport/segment-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --------------------------------------------------------------------- input */

guint8
fuzz_u8 (FuzzInput *input)
{
  return input->at < input->end ? *input->at++ : 0;
}

guint16
fuzz_u16 (FuzzInput *input)
{
  guint16 low = fuzz_u8 (input);

  return (guint16) (low | fuzz_u8 (input) << 8);
}

guint32
fuzz_u32 (FuzzInput *input)
{
  guint32 low = fuzz_u16 (input);

  return low | (guint32) fuzz_u16 (input) << 16;
}

guint64
fuzz_u64 (FuzzInput *input)
{
  guint64 low = fuzz_u32 (input);

  return low | (guint64) fuzz_u32 (input) << 32;
}

const guint8 *
fuzz_bytes (FuzzInput *input, gsize n, gsize *n_out)
{
  const guint8 *bytes = input->at;

  *n_out = MIN (n, fuzz_left (input));
  input->at += *n_out;
  return bytes;
}

/* --------------------------------------------------------------- fresh bytes */

/* No call that does what it should loads so many words of small rings. */
#define LOADS_MAX 200000

#define AREAS_MAX 4

typedef struct
{
  guint32 *word;                    /* NULL: none */
  guint32 mask;
  guint period;
  guint n_loads;
  gboolean flipped;
} Flip;

typedef struct
{
  guintptr begin;
  gsize size;
} Area;

uintptr_t fuzz_watched_begin;
size_t fuzz_watched_size;

void (*fuzz_on_look) (void);

/* Each look at anything takes some of it. */
static gint64 now_ns;

static struct
{
  guint n_loads;
  guint held;
  guint chance;                     /* of 256 */
  FuzzInput *input;
  guint64 state;                    /* of what is made up */
  Area areas[AREAS_MAX];
  guint n_areas;
  Flip flip;
} fresh;

static guint64
make_up (void)
{
  guint64 z = fresh.state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* From the input's end, as long as the target has not come there. */
static guint8
fresh_byte (void)
{
  if (fuzz_left (fresh.input) > 0)
    return *--fresh.input->end;
  return (guint8) make_up ();
}

void
fuzz_freshen (FuzzInput *input, guint chance)
{
  fresh.input = input;
  fresh.chance = chance;
  fresh.state = fuzz_left (input);
  for (gsize i = 0; i < fuzz_left (input); i++)
    fresh.state = (fresh.state ^ input->at[i]) * G_GUINT64_CONSTANT (0x100000001b3);
}

void
fuzz_freshen_area (void *begin, gsize size)
{
  g_assert (fresh.n_areas < AREAS_MAX);
  fresh.areas[fresh.n_areas++] = (Area) { (guintptr) begin, size };
}

void
fuzz_hold (void)
{
  fresh.held++;
}

void
fuzz_go_on (void)
{
  fresh.held--;
}

void
fuzz_watch (const void *begin, gsize size)
{
  fuzz_watched_begin = (guintptr) begin;
  fuzz_watched_size = size;
}

void
fuzz_begin_call (void)
{
  fresh.n_loads = 0;
}

static gboolean
may_change (guintptr word)
{
  for (guint i = 0; i < fresh.n_areas; i++)
    if (word - fresh.areas[i].begin < fresh.areas[i].size)
      return TRUE;
  return FALSE;
}

/* Positions and states: near what they were, mostly. */
static guint32
another_position (guint32 old)
{
  guint8 how = fresh_byte ();
  guint32 step = how & 0xf8u;

  switch (how & 7)
    {
    case 0:
    case 1:
      return old + step;
    case 2:
      return old - step;
    case 3:
      return old + (step << 4);
    case 4:
      return old ^ 1u << (how >> 3);
    case 5:
      return 0;
    default:
      return (guint32) make_up ();
    }
}

/* Records: a bit of the header, the length, the operation, or anything. */
static guint64
another_word (guint64 old)
{
  guint8 how = fresh_byte ();

  switch (how & 3)
    {
    case 0:
      return old ^ G_GUINT64_CONSTANT (1) << (how >> 2);
    case 1:
      return (old & ~G_GUINT64_CONSTANT (0xff)) | (how & 0xf8);
    case 2:
      return (old & ~(G_GUINT64_CONSTANT (0xff) << 32)) | (guint64) (how >> 2) % 21 << 32;
    default:
      return make_up ();
    }
}

static void
set_flipped (Flip *flip, gboolean flipped)
{
  if (flip->flipped != flipped)
    *flip->word ^= flip->mask;
  flip->flipped = flipped;
}

void
fuzz_flip (_Atomic uint32_t *word, guint32 mask, guint period)
{
  if (fresh.flip.word != NULL)
    set_flipped (&fresh.flip, FALSE);
  fresh.flip = (Flip) { .word = (guint32 *) word, .mask = mask, .period = period };
}

void
fuzz_on_load (const volatile void *word, size_t size)
{
  if (++fresh.n_loads > LOADS_MAX)
    g_error ("this goes on and on");
  now_ns += 10000;
  if (fuzz_on_look != NULL)
    fuzz_on_look ();
  if (word == fresh.flip.word && fresh.held == 0)
    {
      set_flipped (&fresh.flip, ++fresh.flip.n_loads % fresh.flip.period == 0);
      return;
    }
  if (fresh.chance == 0 || fresh.held > 0 || !may_change ((guintptr) word)
      || fresh_byte () >= fresh.chance)
    return;
  if (size == 4)
    *(guint32 *) word = another_position (*(const volatile guint32 *) word);
  else
    *(guint64 *) word = another_word (*(const volatile guint64 *) word);
}

/* --------------------------------------------------------------------- world */

#define MEMORY_MAX ((gsize) 1 << 20)

guint32 fuzz_locked_lanes;
gboolean fuzz_server_alive;
void (*fuzz_on_sleep) (void);

void
fuzz_world_reset (void)
{
  memset (&fresh, 0, sizeof fresh);
  fuzz_watched_size = 0;
  fuzz_locked_lanes = 0;
  fuzz_server_alive = TRUE;
  fuzz_on_sleep = NULL;
  fuzz_on_look = NULL;
  now_ns = 1;
}

/* As wait.h and segment.h have them. */
void fuzz_futex_wait (const _Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
void fuzz_futex_wake (const _Atomic uint32_t *word, int n);
int64_t fuzz_now_ns (void);
gint64 fuzz_get_monotonic_time (void);
void fuzz_usleep (gulong us);
gboolean fuzz_segment_server_is_alive (const ShmkvSegment *segment);
gboolean fuzz_segment_lock_lane (ShmkvSegment *segment, guint lane);
void fuzz_segment_unlock_lane (ShmkvSegment *segment, guint lane);
gboolean fuzz_segment_lane_is_locked (const ShmkvSegment *segment, guint lane);
gpointer fuzz_try_malloc (gsize size);
gpointer fuzz_try_malloc_n (gsize n, gsize size);

/* The time of a sleep passes at once. */
void
fuzz_futex_wait (const _Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
  g_assert (timeout_ns >= 0);
  now_ns += timeout_ns;
  if (fuzz_on_sleep != NULL)
    fuzz_on_sleep ();
}

void
fuzz_futex_wake (const _Atomic uint32_t *word, int n)
{
}

/* Whoever looks at the clock has been at it for a while. */
int64_t
fuzz_now_ns (void)
{
  return now_ns += 100000;
}

gint64
fuzz_get_monotonic_time (void)
{
  return fuzz_now_ns () / 1000;
}

/* Longer than it should be: who sleeps is woken late, and tries only a few times. */
void
fuzz_usleep (gulong us)
{
  now_ns += (gint64) us * 1000 * 250;
  if (fuzz_on_sleep != NULL)
    fuzz_on_sleep ();
}

gboolean
fuzz_segment_server_is_alive (const ShmkvSegment *segment)
{
  return fuzz_server_alive;
}

gboolean
fuzz_segment_lock_lane (ShmkvSegment *segment, guint lane)
{
  fuzz_locked_lanes |= 1u << lane;
  return TRUE;
}

void
fuzz_segment_unlock_lane (ShmkvSegment *segment, guint lane)
{
  fuzz_locked_lanes &= ~(1u << lane);
}

gboolean
fuzz_segment_lane_is_locked (const ShmkvSegment *segment, guint lane)
{
  return (fuzz_locked_lanes >> lane & 1) != 0;
}

gpointer
fuzz_try_malloc (gsize size)
{
  return size > MEMORY_MAX ? NULL : g_malloc (size);
}

gpointer
fuzz_try_malloc_n (gsize n, gsize size)
{
  return n > MEMORY_MAX / size ? NULL : g_malloc_n (n, size);
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  if ((level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) != 0)
    {
      g_log_writer_standard_streams (level, fields, n_fields, data);
      abort ();
    }
  return G_LOG_WRITER_HANDLED;
}

void
fuzz_log_init (void)
{
  static gboolean done;

  if (!done)
    g_log_set_writer_func (write_log, NULL, NULL);
  done = TRUE;
}

static void
region_init (ShmkvRegion *region, gsize size)
{
  guint8 *guards = mmap (NULL, size + 2 * SHMKV_WIRE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);

  g_assert (guards != MAP_FAILED);
  *region = (ShmkvRegion) { .fd = -1, .base = guards + SHMKV_WIRE_PAGE, .size = size };
  g_assert (mprotect (region->base, size, PROT_READ | PROT_WRITE) == 0);
}

void
fuzz_segment_init (ShmkvSegment *segment, ShmkvGeometry geometry, guint64 max_value)
{
  static char name[] = "fuzz";

  *segment = (ShmkvSegment) { .name = name, .geometry = geometry, .buckets = 1,
                              .max_value = max_value };
  region_init (&segment->requests, shmkv_segment_requests_size (geometry));
  region_init (&segment->responses, shmkv_segment_responses_size (geometry));
}

void
fuzz_segment_reset (ShmkvSegment *segment)
{
  memset (segment->requests.base, 0, segment->requests.size);
  memset (segment->responses.base, 0, segment->responses.size);
}
