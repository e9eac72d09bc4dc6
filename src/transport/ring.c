/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/ring.h"

void
shmkv_producer_init (ShmkvProducer *producer, uint64_t *words, uint32_t size,
                     _Atomic uint32_t *tail_word, const _Atomic uint32_t *head_word,
                     uint32_t position)
{
  *producer = (ShmkvProducer) {
    .words = words,
    .size = size,
    .tail = position,
    .head = position,
    .tail_word = tail_word,
    .head_word = head_word,
  };
  shmkv_producer_publish (producer);
}

void
shmkv_consumer_init (ShmkvConsumer *consumer, const uint64_t *words, uint32_t size,
                     _Atomic uint32_t *head_word, const _Atomic uint32_t *tail_word,
                     uint32_t position)
{
  *consumer = (ShmkvConsumer) {
    .words = words,
    .size = size,
    .head = position,
    .tail = position,
    .head_word = head_word,
    .tail_word = tail_word,
  };
  shmkv_consumer_publish (consumer);
}

void
shmkv_ring_copy_out (uint64_t *to, const uint64_t *from, uint32_t n_bytes)
{
  for (uint32_t i = 0; i < n_bytes / 8; i++)
    to[i] = shmkv_load_word (from + i);
}

void
shmkv_ring_copy_in (uint64_t *to, const uint64_t *from, uint32_t n_bytes)
{
  for (uint32_t i = 0; i < n_bytes / 8; i++)
    shmkv_store_word (to + i, from[i]);
}
