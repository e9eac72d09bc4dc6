/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ring of src/transport/ring.h: one producer, one consumer, records of one or
 * two words, padding where one would not fit before the end, positions that wrap,
 * published whenever it pleases them.
 *
 * To hold: each record is read once, in order, and whole.  Who waits for the other
 * waits for something that comes.
 *
 * Bugs that are to be found:
 *
 *   NO_RELEASE     `tail' is stored without release
 *   PUBLISH_FIRST  `tail' is published before the record is written
 *   NO_ACQUIRE     `tail' is loaded without acquire: the record may be read earlier
 *   HEAD_FIRST     `head' is published before the record is read
 *   ROOM_FOR_MORE  the producer thinks that there is a word more than there is
 *   PADDING_FREE   the producer does not count the padding when it looks for room
 *   KEEP_ROOM      the consumer gives nothing back until the ring is empty */

#define SIZE 4
#define RECORDS 4
#define POSITIONS 8                 /* 2^32 there; what counts is that they wrap */

#define TAIL SIZE
#define HEAD (SIZE + 1)
#define N_WORDS (SIZE + 2)
#define PRODUCER 0
#define CONSUMER 1
#define N_CPUS 2

#include "memory.h"

memory_of_2 ()

#define distance(from, to) ((to + POSITIONS - (from)) % POSITIONS)
#define moved(position, n) ((position + (n)) % POSITIONS)

/* What a record's words say: the record's number, and which word it is. */
#define HEADER_OF_1 1
#define HEADER_OF_2 2
#define PAYLOAD 3
#define WORD(number, part) ((number) * 4 + (part))
#define PADDING 128

#ifdef ROOM_FOR_MORE
#define ROOM (SIZE + 1)
#else
#define ROOM SIZE
#endif

#ifdef PADDING_FREE
#define NEEDED(padding, length) (length)
#else
#define NEEDED(padding, length) (padding + length)
#endif

#ifdef NO_RELEASE
#define store_tail(v) store_relaxed (PRODUCER, TAIL, v)
#else
#define store_tail(v) store_release (PRODUCER, TAIL, v)
#endif

/* ------------------------------------------------------------------ producer */

/* shmkv_producer_publish() */
#define publish_tail() \
  if \
  :: published != tail -> published = tail; store_tail (tail) \
  :: else \
  fi

/* shmkv_producer_reserve() and shmkv_producer_refresh(); then
 * shmkv_session_wait_for_room(), which publishes first. */
active proctype Producer ()
{
  byte tail, head, published, number, length, padding, seen;

  do
  :: number < RECORDS ->
     if :: length = 1 :: length = 2 fi;
     padding = (length <= SIZE - tail % SIZE -> 0 : SIZE - tail % SIZE);
     do
     :: ROOM - distance (head, tail) >= NEEDED (padding, length) -> break
     :: else ->
        publish_tail ();
        words[HEAD] != head;
        load (PRODUCER, HEAD, seen);
        assert (distance (head, seen) <= distance (head, published));
        head = seen
     od;
     if
     :: padding > 0 ->
        store_relaxed (PRODUCER, tail % SIZE, PADDING + padding);
        tail = moved (tail, padding)
     :: else
     fi;
#ifdef PUBLISH_FIRST
     published = moved (tail, length);
     store_tail (published);
#endif
     if
     :: length == 1 -> store_relaxed (PRODUCER, tail % SIZE, WORD (number, HEADER_OF_1))
     :: else ->
        store_relaxed (PRODUCER, tail % SIZE, WORD (number, HEADER_OF_2));
        store_relaxed (PRODUCER, (tail + 1) % SIZE, WORD (number, PAYLOAD))
     fi;
     tail = moved (tail, length);
     number++;
     if :: publish_tail () :: skip fi
  :: else ->
     publish_tail ();
     break
  od
}

/* ------------------------------------------------------------------ consumer */

/* A word of the ring that the consumer's CPU has loaded ahead of its turn, plus 1.
 * An acquire forgets them. */
byte early[SIZE];

#define load_early(i) :: d_step { early[i] == 0 -> early[i] = words[i] + 1 }

active proctype Speculation ()
{
end:
  do load_early (0) load_early (1) load_early (2) load_early (3) od
}

inline load_ring (position, result)
{
  d_step
  {
    result = (early[(position) % SIZE] > 0 -> early[(position) % SIZE] - 1
                                            : words[(position) % SIZE]);
    early[(position) % SIZE] = 0
  }
}

inline forget_early ()
{
#ifndef NO_ACQUIRE
  early[0] = 0; early[1] = 0; early[2] = 0; early[3] = 0
#else
  skip
#endif
}

/* shmkv_consumer_publish() */
#define publish_head() \
  if \
  :: returned != head -> returned = head; store_release (CONSUMER, HEAD, head) \
  :: else \
  fi

/* shmkv_consumer_refresh(); d_step, as the acquire comes with the load. */
inline refresh ()
{
  d_step
  {
    seen = words[TAIL];
    forget_early ()
  }
  assert (distance (tail, seen) <= SIZE - distance (returned, tail));
  tail = seen
}

/* shmkv_consumer_peek() and what follows it: as shmkv_execute_batch(), which
 * publishes after each batch, of whatever length. */
active proctype Consumer ()
{
  byte tail, head, returned, number, word, seen;

  do
  :: number == RECORDS -> break
  :: number < RECORDS && head == tail ->
#ifndef KEEP_ROOM
     publish_head ();
#endif
     words[TAIL] != tail;
     refresh ()
  :: number < RECORDS && head != tail ->
#ifdef HEAD_FIRST
     returned = moved (head, 1);
     store_release (CONSUMER, HEAD, returned);
#endif
     load_ring (head, word);
     if
     :: word > PADDING -> head = moved (head, word - PADDING)
     :: else ->
        assert (word == WORD (number, HEADER_OF_1) || word == WORD (number, HEADER_OF_2));
        if
        :: word == WORD (number, HEADER_OF_2) ->
           load_ring (head + 1, word);
           assert (word == WORD (number, PAYLOAD));
           head = moved (head, 2)
        :: else -> head = moved (head, 1)
        fi;
        number++
     fi;
#ifndef KEEP_ROOM
     if :: publish_head () :: skip fi
#endif
  od
}
