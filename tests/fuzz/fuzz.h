/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the fuzz targets share: the input, read from both its ends; memory that a
 * peer writes while it is looked at; and a world in which nothing blocks.
 *
 * A target is LLVMFuzzerTestOneInput(), which libFuzzer and AFL++ know; with
 * replay.c it is a program of its own.  What must never be is an assertion, and
 * ends the process. */

#pragma once

#include "transport/segment.h"

#include <glib.h>

G_BEGIN_DECLS

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* --------------------------------------------------------------------- input */

/* Where it is used up, there are zeros. */
typedef struct
{
  const guint8 *at;
  const guint8 *end;
} FuzzInput;

static inline gsize
fuzz_left (const FuzzInput *input)
{
  return (gsize) (input->end - input->at);
}

guint8 fuzz_u8 (FuzzInput *input);
guint16 fuzz_u16 (FuzzInput *input);
guint32 fuzz_u32 (FuzzInput *input);
guint64 fuzz_u64 (FuzzInput *input);

/* Up to `n` bytes, or what is left. */
const guint8 *fuzz_bytes (FuzzInput *input, gsize n, gsize *n_out);

/* ---------------------------------------------------------------------- peer */

/* Begins an input: nothing is watched, nothing is locked, time begins. */
void fuzz_world_reset (void);

/* See fresh.h. */
extern uintptr_t fuzz_watched_begin;
extern size_t fuzz_watched_size;
void fuzz_on_load (const volatile void *word, size_t size);

/* Loads from here on are counted, and end the process where there are more than
 * anybody would need: a loop that a peer keeps going. */
void fuzz_watch (const void *begin, gsize size);
void fuzz_begin_call (void);

/* What a load finds there, between these, is fresh with some of the loads: taken
 * from the input's end, and when that is used up, made up. */
void fuzz_freshen (FuzzInput *input, guint chance);
void fuzz_freshen_area (void *begin, gsize size);

/* A word of which every `period'th load finds another value, and all others the
 * same: for what is looked at more than once in a loop.  Until the next. */
void fuzz_flip (_Atomic uint32_t *word, guint32 mask, guint period);

/* Between them, nothing is. */
void fuzz_hold (void);
void fuzz_go_on (void);

/* --------------------------------------------------------------------- world */

extern guint32 fuzz_locked_lanes;   /* a bit for each */
extern gboolean fuzz_server_alive;

/* Called where a thread would sleep, until woken or for so long. */
extern void (*fuzz_on_sleep) (void);

/* Called with each load that is watched. */
extern void (*fuzz_on_look) (void);

/* Ends the process where the log says that something must not be. */
void fuzz_log_init (void);

/* Memory for both regions of a segment, with nothing before and behind it. */
void fuzz_segment_init (ShmkvSegment *segment, ShmkvGeometry geometry, guint64 max_value);

/* All zeros. */
void fuzz_segment_reset (ShmkvSegment *segment);

G_END_DECLS
