/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A single-producer single-consumer ring of records in shared memory.
 *
 * Roles.  One thread owns the producing end, one thread of the other process
 * the consuming end.  Each end is a private struct; the ring's bytes and the
 * producer's `tail` word lie in the producer's region, the consumer's `head`
 * word in the consumer's.
 *
 * Positions are free-running 32-bit byte counters, multiples of 8, compared by
 * difference only.  tail - head is at most the size of the ring.
 *
 * Ordering.  The producer writes records, then publishes `tail` (release); the
 * consumer loads `tail` (acquire) before it reads them.  The consumer reads,
 * then publishes `head` (release); the producer loads `head` (acquire) before
 * it writes there again.  Each end caches the other's word and looks again
 * only when the cached value has run out, and publishes its own once a batch.
 *
 * Progress.  Both ends are wait-free.  A producer that dies before it
 * publishes leaves nothing behind that anyone would see.
 *
 * Trust.  The other end may be hostile.  Every word of it is loaded once and
 * checked against private state before it is used; the records' words are
 * loaded and stored as relaxed atomics, so that the compiler cannot load one
 * twice.  Where a check fails, the caller is told, and the ring is dead.
 *
 * After L. Lamport, "Specifying concurrent program modules" (1983), with the
 * cached indices of J. Giacomoni et al., "FastForward for efficient pipeline
 * parallelism" (2008) and its successors. */

#pragma once

#include "wire/layout.h"
#include "wire/record.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct
{
  uint64_t *words;
  uint32_t size;                    /* of the ring, in bytes, a power of two */
  uint32_t tail;                    /* where the next record goes */
  uint32_t head;                    /* the consumer's, as last seen */
  uint32_t published;               /* what the consumer was shown */
  _Atomic uint32_t *tail_word;      /* ours */
  const _Atomic uint32_t *head_word;
} ShmkvProducer;

typedef struct
{
  const uint64_t *words;
  uint32_t size;
  uint32_t head;                    /* the next record to read */
  uint32_t tail;                    /* the producer's, as last seen */
  uint32_t published;               /* what the producer was shown */
  _Atomic uint32_t *head_word;      /* ours */
  const _Atomic uint32_t *tail_word;
} ShmkvConsumer;

typedef enum
{
  SHMKV_RING_EMPTY,
  SHMKV_RING_RECORD,
  SHMKV_RING_BAD_INDEX,             /* the producer's `tail` cannot be */
  SHMKV_RING_BAD_RECORD,            /* the record's length cannot be */
} ShmkvRingPeek;

/* Both ends begin at `position`, and their own word is set to it. */
void shmkv_producer_init (ShmkvProducer *producer, uint64_t *words, uint32_t size,
                          _Atomic uint32_t *tail_word, const _Atomic uint32_t *head_word,
                          uint32_t position);
void shmkv_consumer_init (ShmkvConsumer *consumer, const uint64_t *words, uint32_t size,
                          _Atomic uint32_t *head_word, const _Atomic uint32_t *tail_word,
                          uint32_t position);

static inline void
shmkv_store_word (uint64_t *place, uint64_t value)
{
  /* relaxed: published by the release of `tail` */
  atomic_store_explicit ((_Atomic uint64_t *) place, value, memory_order_relaxed);
}

static inline uint64_t
shmkv_load_word (const uint64_t *place)
{
  /* relaxed: ordered by the acquire of `tail` */
  return atomic_load_explicit ((const _Atomic uint64_t *) place, memory_order_relaxed);
}

/* --------------------------------------------------------- producing end */

/* Looks where the consumer is.  False if it claims to be where it cannot be. */
static inline bool
shmkv_producer_refresh (ShmkvProducer *producer)
{
  /* acquire: pairs with the release in shmkv_consumer_publish() */
  uint32_t head = atomic_load_explicit (producer->head_word, memory_order_acquire);

  if (head - producer->head > producer->published - producer->head || head % 8 != 0)
    return false;
  producer->head = head;
  return true;
}

/* How many bytes are free, as far as is known. */
static inline uint32_t
shmkv_producer_room (const ShmkvProducer *producer)
{
  return producer->size - (producer->tail - producer->head);
}

/* Bytes between `position` and the end of the ring. */
static inline uint32_t
shmkv_ring_to_end (uint32_t size, uint32_t position)
{
  return size - (position & (size - 1));
}

/* Where a record of `length` bytes may be written, at most
 * shmkv_wire_max_record(); NULL where there is no room, as far as is known. */
static inline uint64_t *
shmkv_producer_reserve (ShmkvProducer *producer, uint32_t length)
{
  uint32_t to_end = shmkv_ring_to_end (producer->size, producer->tail);
  uint32_t padding = length <= to_end ? 0 : to_end;

  if (shmkv_producer_room (producer) < padding + length)
    return NULL;
  if (padding != 0)
    {
      shmkv_store_word (producer->words + (producer->tail & (producer->size - 1)) / 8,
                        shmkv_header_pack (padding, SHMKV_WIRE_OP_PAD, 0, 0, 0));
      producer->tail += padding;
    }
  return producer->words + (producer->tail & (producer->size - 1)) / 8;
}

/* The same for a record for which there is room, with the padding before it, as
 * the caller knows. */
static inline uint64_t *
shmkv_producer_place (ShmkvProducer *producer, uint32_t length)
{
  uint32_t to_end = shmkv_ring_to_end (producer->size, producer->tail);

  if (__builtin_expect (length > to_end, 0))
    return shmkv_producer_reserve (producer, length);
  return producer->words + (producer->tail & (producer->size - 1)) / 8;
}

/* The record that was reserved is written. */
static inline void
shmkv_producer_commit (ShmkvProducer *producer, uint32_t length)
{
  producer->tail += length;
}

/* Bytes that were committed and not published. */
static inline uint32_t
shmkv_producer_unpublished (const ShmkvProducer *producer)
{
  return producer->tail - producer->published;
}

static inline void
shmkv_producer_publish (ShmkvProducer *producer)
{
  producer->published = producer->tail;
  /* release: pairs with the acquire in shmkv_consumer_refresh() */
  atomic_store_explicit (producer->tail_word, producer->tail, memory_order_release);
}

/* --------------------------------------------------------- consuming end */

/* Looks where the producer is.  False if it claims to be where it cannot be. */
static inline bool
shmkv_consumer_refresh (ShmkvConsumer *consumer)
{
  /* acquire: pairs with the release in shmkv_producer_publish() */
  uint32_t tail = atomic_load_explicit (consumer->tail_word, memory_order_acquire);

  /* It may neither go back nor get further ahead than the room it was shown. */
  if (tail - consumer->tail > consumer->size - (consumer->tail - consumer->published)
      || tail % 8 != 0)
    return false;
  consumer->tail = tail;
  return true;
}

/* Where the next record will be. */
static inline const uint64_t *
shmkv_consumer_next (const ShmkvConsumer *consumer)
{
  return consumer->words + (consumer->head & (consumer->size - 1)) / 8;
}

/* How many bytes from there on are known to be there, in one piece. */
static inline uint32_t
shmkv_consumer_known (const ShmkvConsumer *consumer)
{
  uint32_t to_end = shmkv_ring_to_end (consumer->size, consumer->head);
  uint32_t known = consumer->tail - consumer->head;

  return known < to_end ? known : to_end;
}

/* The next record and its header word, loaded once, with a length that was
 * checked: all of the record is there and does not wrap. */
static inline ShmkvRingPeek
shmkv_consumer_peek (ShmkvConsumer *consumer, const uint64_t **record_out, uint64_t *header_out)
{
  for (;;)
    {
      uint32_t to_end = shmkv_ring_to_end (consumer->size, consumer->head);
      const uint64_t *record;
      uint64_t header;
      uint32_t length;

      if (consumer->head == consumer->tail)
        {
          if (!shmkv_consumer_refresh (consumer))
            return SHMKV_RING_BAD_INDEX;
          if (consumer->head == consumer->tail)
            return SHMKV_RING_EMPTY;
        }
      record = shmkv_consumer_next (consumer);
      header = shmkv_load_word (record);
      length = shmkv_header_length (header);
      if (length > consumer->tail - consumer->head || length > to_end || length % 8 != 0)
        return SHMKV_RING_BAD_RECORD;
      if ((uint8_t) (header >> 32) != SHMKV_WIRE_OP_PAD)
        {
          if (length < SHMKV_WIRE_HEADER_SIZE || length > shmkv_wire_max_record (consumer->size))
            return SHMKV_RING_BAD_RECORD;
          *record_out = record;
          *header_out = header;
          return SHMKV_RING_RECORD;
        }
      /* What follows is at the start of the ring, where no padding can be: so
       * not even a producer that publishes for ever keeps us in this loop. */
      if (length != to_end || length >= shmkv_wire_max_record (consumer->size))
        return SHMKV_RING_BAD_RECORD;
      consumer->head += length;
    }
}

static inline void
shmkv_consumer_advance (ShmkvConsumer *consumer, uint32_t length)
{
  consumer->head += length;
}

/* Bytes that were read and not given back. */
static inline uint32_t
shmkv_consumer_unpublished (const ShmkvConsumer *consumer)
{
  return consumer->head - consumer->published;
}

static inline void
shmkv_consumer_publish (ShmkvConsumer *consumer)
{
  consumer->published = consumer->head;
  /* release: pairs with the acquire in shmkv_producer_refresh() */
  atomic_store_explicit (consumer->head_word, consumer->head, memory_order_release);
}

/* Publishes the ends of two rings that lie in one word: what a server consumed
 * and what it produced in a batch. */
static inline void
shmkv_ring_publish_both (ShmkvConsumer *consumer, ShmkvProducer *producer,
                         ShmkvPositions *positions)
{
  union
  {
    struct
    {
      uint32_t head, tail;
    };
    uint64_t both;
  } value = { .head = consumer->head, .tail = producer->tail };

  consumer->published = consumer->head;
  producer->published = producer->tail;
  /* release: pairs with the acquires in shmkv_consumer_refresh() and
   * shmkv_producer_refresh() */
  atomic_store_explicit (&positions->both, value.both, memory_order_release);
}

/* Copies the words of a record out of the ring, each loaded once. */
void shmkv_ring_copy_out (uint64_t *to, const uint64_t *from, uint32_t n_bytes);

/* Copies words into the ring. */
void shmkv_ring_copy_in (uint64_t *to, const uint64_t *from, uint32_t n_bytes);
