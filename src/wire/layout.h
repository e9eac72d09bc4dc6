/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two shared memory regions of a server, word by word.
 *
 * This header is the normative layout; doc/protocol tells the same story in
 * prose.  Each region has exactly one kind of writer:
 *
 *   requests   mapped writable by the clients, read-only by the server
 *   responses  mapped writable by the server, read-only by the clients
 *
 * Both regions look alike: a header, an array of lane headers, then (from the
 * next page boundary) one ring per lane.  Nothing in them is a pointer; a
 * place is found with the functions at the end of this file, from a geometry
 * that each side copied to private memory and checked when it attached.
 *
 * A word is only ever written by the side that owns its region.  Words that
 * different threads write, or that one side polls while the other writes
 * something else, are SHMKV_WIRE_ALIGN apart.
 */

#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Read as bytes on a little-endian machine: "SHMKV\r\n\x1a".  Also tells the
 * byte order: a reader of the other one sees SHMKV_WIRE_MAGIC_SWAPPED. */
#define SHMKV_WIRE_MAGIC UINT64_C (0x1a0a0d564b4d4853)
#define SHMKV_WIRE_MAGIC_SWAPPED UINT64_C (0x53484d4b560d0a1a)

/* A change that an older reader would misread raises the major version; one
 * that it may ignore raises the minor. */
#define SHMKV_WIRE_MAJOR 1
#define SHMKV_WIRE_MINOR 0

/* Two cache lines of x86-64: its prefetcher fetches lines in pairs.  One line
 * of the largest arm64 cores. */
#define SHMKV_WIRE_ALIGN 128

#define SHMKV_WIRE_PAGE 4096u
#define SHMKV_WIRE_MIN_SESSIONS 1u
#define SHMKV_WIRE_MAX_SESSIONS 1024u
#define SHMKV_WIRE_MIN_RING_SIZE 4096u
#define SHMKV_WIRE_MAX_RING_SIZE (1u << 30)

/* What a region of the responses says of its server; `service` in its header. */
enum
{
  SHMKV_WIRE_SERVICE_STARTING = 0,
  SHMKV_WIRE_SERVICE_RUNNING = 1,
  SHMKV_WIRE_SERVICE_GONE = 2,      /* nothing in here will ever change again */
  SHMKV_WIRE_SERVICE_LOST = 3,      /* somebody destroyed the region: nothing in here counts,
                                     * and the server is gone */
};

/* The phase of a lane: the low byte of its `state`.  The other 24 bits count
 * the lane's owners (its generation), so that a client that lost its lane can
 * tell, even when the lane has a new owner in the same phase. */
enum
{
  SHMKV_WIRE_LANE_FREE = 1,         /* may be claimed */
  SHMKV_WIRE_LANE_ACTIVE = 2,       /* the server serves the session that claimed it */
  SHMKV_WIRE_LANE_DROPPED = 3,      /* the session broke the protocol; `dropped` says how */
};
#define SHMKV_WIRE_LANE_PHASE(state) ((state) & 0xffu)
#define SHMKV_WIRE_LANE_STATE(generation, phase) (((uint32_t) (generation) << 8) | (phase))
#define SHMKV_WIRE_LANE_GENERATION(state) ((state) >> 8)

typedef struct
{
  uint32_t sessions;                /* lanes in each region */
  uint32_t ring_size;               /* bytes of each ring, a power of two */
} ShmkvGeometry;

/* ------------------------------------------------------- responses region */

typedef struct
{
  /* Written once, before `magic`, which is stored last (release; pairs with
   * the acquire load at attach). */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint64_t magic;
  uint16_t major;
  uint16_t minor;
  uint32_t header_size;             /* sizeof (ShmkvResponsesHeader) */
  uint32_t requests_lane_size;      /* sizeof (ShmkvRequestsLane) */
  uint32_t responses_lane_size;     /* sizeof (ShmkvResponsesLane) */
  ShmkvGeometry geometry;
  uint64_t instance;                /* random, never 0: names this run of the server */
  uint32_t server_pid;              /* in the server's pid namespace; for people */
  uint32_t buckets;
  uint64_t max_value;               /* bytes of the longest value that it takes */

  /* Changes at most twice in the life of the region. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t service;

  /* 1 while a worker sleeps, or is about to, on `doorbell`. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t server_asleep;

  /* How many threads were at it at once lately: lanes with work, and workers.  A
   * hint for clients that spin. */
  _Atomic uint32_t crowd;
} ShmkvResponsesHeader;

/* Both positions that the server publishes, to be stored as one: the line that
 * holds them goes to a polling client once per batch, not twice. */
typedef union
{
  _Atomic uint64_t both;
  struct
  {
    _Atomic uint32_t head;          /* requests consumed, in bytes; futex of a client that waits for room */
    _Atomic uint32_t tail;          /* responses produced, in bytes; futex of a client that waits for them */
  };
} ShmkvPositions;

typedef struct
{
  /* All of it is written by the worker that serves the lane. */
  alignas (SHMKV_WIRE_ALIGN) ShmkvPositions positions;
  _Atomic uint32_t state;
  _Atomic uint32_t dropped;         /* SHMKV_WIRE_DROP_*, in phase DROPPED */
  _Atomic uint32_t silent_errors;   /* failed requests that wanted no response */
} ShmkvResponsesLane;

/* -------------------------------------------------------- requests region */

typedef struct
{
  /* The server's `instance`, written with pwrite(2) before any client could
   * attach: tells that both regions belong together. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint64_t instance;

  /* Futex of the server; clients add 1 before they wake it. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t doorbell;

  /* Clients add 1 after any change of a `claim`. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t arrivals;
} ShmkvRequestsHeader;

typedef struct
{
  /* The submitting thread writes these. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t claim; /* the FREE state that was claimed; 0: not claimed */
  _Atomic uint32_t client_pid;      /* for people */
  _Atomic uint32_t tail;            /* requests produced, in bytes */
  _Atomic uint32_t room_nap;        /* odd: asleep on `head`, or about to be */

  /* The thread that takes responses writes these. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic uint32_t taken; /* responses consumed, in bytes */
  _Atomic uint32_t response_nap;    /* odd: asleep on `tail`, or about to be */
} ShmkvRequestsLane;

/* Why a lane was dropped. */
enum
{
  SHMKV_WIRE_DROP_NONE = 0,
  SHMKV_WIRE_DROP_BAD_INDEX = 1,    /* `tail` or `taken` where it cannot be */
  SHMKV_WIRE_DROP_BAD_RECORD = 2,   /* a record whose length cannot be */
  SHMKV_WIRE_DROP_BAD_PIECE = 3,    /* a record that does not go on with the one before */
};

/* --------------------------------------------------------------- geometry */

_Static_assert (ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
                "atomics in shared memory must be lock-free");
_Static_assert (sizeof (_Atomic uint32_t) == 4 && sizeof (_Atomic uint64_t) == 8,
                "atomics must have the size of their value");
_Static_assert (sizeof (ShmkvResponsesHeader) == 3 * SHMKV_WIRE_ALIGN, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, magic) == 0, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, major) == 8, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, minor) == 10, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, header_size) == 12, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, requests_lane_size) == 16, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, responses_lane_size) == 20, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, geometry) == 24, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, instance) == 32, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, server_pid) == 40, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, buckets) == 44, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, max_value) == 48, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, service) == 128, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, server_asleep) == 256, "layout");
_Static_assert (offsetof (ShmkvResponsesHeader, crowd) == 260, "layout");
_Static_assert (sizeof (ShmkvResponsesLane) == SHMKV_WIRE_ALIGN, "layout");
_Static_assert (sizeof (ShmkvPositions) == 8, "layout");
_Static_assert (offsetof (ShmkvResponsesLane, positions.head) == 0, "layout");
_Static_assert (offsetof (ShmkvResponsesLane, positions.tail) == 4, "layout");
_Static_assert (offsetof (ShmkvResponsesLane, state) == 8, "layout");
_Static_assert (offsetof (ShmkvResponsesLane, dropped) == 12, "layout");
_Static_assert (offsetof (ShmkvResponsesLane, silent_errors) == 16, "layout");
_Static_assert (sizeof (ShmkvRequestsHeader) == 3 * SHMKV_WIRE_ALIGN, "layout");
_Static_assert (offsetof (ShmkvRequestsHeader, instance) == 0, "layout");
_Static_assert (offsetof (ShmkvRequestsHeader, doorbell) == 128, "layout");
_Static_assert (offsetof (ShmkvRequestsHeader, arrivals) == 256, "layout");
_Static_assert (sizeof (ShmkvRequestsLane) == 2 * SHMKV_WIRE_ALIGN, "layout");
_Static_assert (offsetof (ShmkvRequestsLane, client_pid) == 4, "layout");
_Static_assert (offsetof (ShmkvRequestsLane, tail) == 8, "layout");
_Static_assert (offsetof (ShmkvRequestsLane, room_nap) == 12, "layout");
_Static_assert (offsetof (ShmkvRequestsLane, taken) == 128, "layout");
_Static_assert (offsetof (ShmkvRequestsLane, response_nap) == 132, "layout");

static inline int
shmkv_geometry_is_valid (ShmkvGeometry geometry)
{
  return geometry.sessions >= SHMKV_WIRE_MIN_SESSIONS
         && geometry.sessions <= SHMKV_WIRE_MAX_SESSIONS
         && geometry.ring_size >= SHMKV_WIRE_MIN_RING_SIZE
         && geometry.ring_size <= SHMKV_WIRE_MAX_RING_SIZE
         && (geometry.ring_size & (geometry.ring_size - 1)) == 0;
}

/* Where the rings of a region begin, whose header and lane headers have the
 * given sizes. */
static inline uint64_t
shmkv_geometry_rings_offset (ShmkvGeometry geometry, uint64_t header_size, uint64_t lane_size)
{
  uint64_t end = header_size + geometry.sessions * lane_size;

  return (end + SHMKV_WIRE_PAGE - 1) & ~(uint64_t) (SHMKV_WIRE_PAGE - 1);
}

static inline uint64_t
shmkv_geometry_region_size (ShmkvGeometry geometry, uint64_t header_size, uint64_t lane_size)
{
  return shmkv_geometry_rings_offset (geometry, header_size, lane_size)
         + (uint64_t) geometry.sessions * geometry.ring_size;
}
