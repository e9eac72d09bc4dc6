/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What two CPUs of this machine allow: the anchors that the server is measured
 * against.  Nothing of shmkv is in here.
 *
 *   pingpong_spin_rtt      a word to the other CPU and one back, both spinning
 *   pingpong_futex_rtt     the same, both sleeping
 *   stream                 requests one way through a ring
 *   echo_pipelined         requests through a ring, a response to each through
 *                          another, with a window: what a server that does
 *                          nothing would do
 *   grwlock_*              lock and unlock, nobody else there
 *   memory_dependent       random reads of 1 GiB, each address from the last
 *   memory_independent     the same, each address known before
 *
 * Where there are two sides they are processes, each pinned to a CPU of its own,
 * with shared memory between them.  A request has 32 bytes, a response 16, a
 * ring 4096 of them; whoever writes a ring publishes every 32 and what is left,
 * looks at the other's position only when the cached one has run out, and has
 * that word on a line of its own. */

#include "config.h"

#include <glib.h>

#include <linux/futex.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RING 4096u
#define PUBLISH 32u
#define WINDOW 1024u
#define LINES 128                   /* what the prefetchers take for one */
#define N_LOCKS 5000u
#define MEMORY_WORDS ((gsize) 1 << 27)

typedef struct
{
  guint64 words[4];
} Request;

typedef struct
{
  guint64 words[2];
} Response;

typedef struct
{
  alignas (LINES) _Atomic guint32 ping;
  alignas (LINES) _Atomic guint32 pong;
  alignas (LINES) _Atomic guint64 submitted;
  alignas (LINES) _Atomic guint64 consumed;
  alignas (LINES) _Atomic guint64 answered;
  alignas (LINES) Request requests[RING];
  alignas (LINES) Response responses[RING];
} Shared;

static gint divisor = 1;
static gboolean json;

static const GOptionEntry entries[] = {
  { "json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON, one object a line", NULL },
  { "divisor", 'd', 0, G_OPTION_ARG_INT, &divisor, "Do so many times less", "N" },
  { NULL }
};

/* ------------------------------------------------------------------- helpers */

static double
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static guint64
times (guint64 n)
{
  return MAX (n / (guint64) divisor, 1000);
}

/* Pins the caller to the CPU that is number `wanted` of those that it may use. */
static void
pin (guint wanted)
{
  cpu_set_t allowed, one;
  guint n = 0;

  sched_getaffinity (0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET (cpu, &allowed) && n++ == wanted)
      {
        CPU_ZERO (&one);
        CPU_SET (cpu, &one);
        sched_setaffinity (0, sizeof one, &one);
        return;
      }
}

static void
sleep_on (_Atomic guint32 *word, guint32 seen)
{
  syscall (SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void
wake (_Atomic guint32 *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static inline guint64
next_random (guint64 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* ----------------------------------------------------------------- two sides */

typedef void (*Side) (Shared *shared, guint64 n);

/* Nanoseconds that `n` took, with `here` on one CPU and `there` on another. */
static double
run_sides (Side here, Side there, guint64 n)
{
  Shared *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                         -1, 0);
  cpu_set_t before;
  double begin;
  pid_t child;

  if (shared == MAP_FAILED)
    g_error ("there is no memory");
  sched_getaffinity (0, sizeof before, &before);
  child = fork ();
  if (child < 0)
    g_error ("there is no other process");
  if (child == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      pin (1);
      there (shared, n);
      _exit (0);
    }
  pin (0);
  begin = now_ns ();
  here (shared, n);
  waitpid (child, NULL, 0);
  begin = now_ns () - begin;
  sched_setaffinity (0, sizeof before, &before);
  munmap (shared, sizeof *shared);
  return begin;
}

static void
ping (Shared *shared, guint64 n)
{
  for (guint32 i = 1; i <= n; i++)
    {
      atomic_store_explicit (&shared->ping, i, memory_order_release);
      while (atomic_load_explicit (&shared->pong, memory_order_acquire) != i)
        ;
    }
}

static void
pong (Shared *shared, guint64 n)
{
  for (guint32 i = 1; i <= n; i++)
    {
      while (atomic_load_explicit (&shared->ping, memory_order_acquire) != i)
        ;
      atomic_store_explicit (&shared->pong, i, memory_order_release);
    }
}

static void
ping_asleep (Shared *shared, guint64 n)
{
  for (guint32 i = 1; i <= n; i++)
    {
      atomic_store (&shared->ping, i);
      wake (&shared->ping);
      while (atomic_load (&shared->pong) != i)
        sleep_on (&shared->pong, i - 1);
    }
}

static void
pong_asleep (Shared *shared, guint64 n)
{
  for (guint32 i = 1; i <= n; i++)
    {
      while (atomic_load (&shared->ping) != i)
        sleep_on (&shared->ping, i - 1);
      atomic_store (&shared->pong, i);
      wake (&shared->pong);
    }
}

static void
send_stream (Shared *shared, guint64 n)
{
  guint64 consumed = 0;

  for (guint64 i = 0; i < n; i++)
    {
      while (i - consumed >= RING)
        consumed = atomic_load_explicit (&shared->consumed, memory_order_acquire);
      memset (&shared->requests[i % RING], (int) i, sizeof (Request));
      if ((i + 1) % PUBLISH == 0)
        atomic_store_explicit (&shared->submitted, i + 1, memory_order_release);
    }
  atomic_store_explicit (&shared->submitted, n, memory_order_release);
}

static guint64
await_submitted (Shared *shared, guint64 seen)
{
  guint64 submitted;

  do
    submitted = atomic_load_explicit (&shared->submitted, memory_order_acquire);
  while (submitted == seen);
  return submitted;
}

static void
consume_stream (Shared *shared, guint64 n)
{
  guint64 sum = 0;

  for (guint64 i = 0; i < n;)
    {
      guint64 end = await_submitted (shared, i);

      for (; i < end; i++)
        sum += shared->requests[i % RING].words[0];
      atomic_store_explicit (&shared->consumed, i, memory_order_release);
    }
  /* So that nobody finds that the sum is of no use. */
  atomic_store (&shared->answered, sum);
}

static void
submit_request (Shared *shared, guint64 i)
{
  shared->requests[i % RING] = (Request) { { 1, i, i * 3, 0 } };
}

/* Also checks every answer: which costs next to nothing. */
static void
ask (Shared *shared, guint64 n)
{
  guint64 sent = 0, got = 0, wrong = 0;

  while (got < n)
    {
      guint64 answered;

      while (sent < n && sent - got < WINDOW)
        {
          submit_request (shared, sent++);
          if (sent % PUBLISH == 0)
            atomic_store_explicit (&shared->submitted, sent, memory_order_release);
        }
      atomic_store_explicit (&shared->submitted, sent, memory_order_release);
      answered = atomic_load_explicit (&shared->answered, memory_order_acquire);
      for (; got < answered; got++)
        wrong += shared->responses[got % RING].words[0] != got;
    }
  if (wrong != 0)
    g_error ("%" G_GUINT64_FORMAT " answers of the echo are wrong", wrong);
}

static void
echo (Shared *shared, guint64 n)
{
  for (guint64 i = 0; i < n;)
    {
      guint64 end = MIN (await_submitted (shared, i), i + PUBLISH);

      for (; i < end; i++)
        shared->responses[i % RING] = (Response) { { shared->requests[i % RING].words[1], i } };
      atomic_store_explicit (&shared->consumed, i, memory_order_release);
      atomic_store_explicit (&shared->answered, i, memory_order_release);
    }
}

/* -------------------------------------------------------------------- one side */

static GRWLock *
new_locks (void)
{
  GRWLock *locks = g_new0 (GRWLock, N_LOCKS);

  /* GLib allocates the lock itself when it is first used. */
  for (guint i = 0; i < N_LOCKS; i++)
    {
      g_rw_lock_init (&locks[i]);
      g_rw_lock_reader_lock (&locks[i]);
      g_rw_lock_reader_unlock (&locks[i]);
    }
  return locks;
}

static void
free_locks (GRWLock *locks)
{
  for (guint i = 0; i < N_LOCKS; i++)
    g_rw_lock_clear (&locks[i]);
  g_free (locks);
}

static double
run_locks (guint64 n, guint n_locks, gboolean write)
{
  GRWLock *locks = new_locks ();
  guint64 random = G_GUINT64_CONSTANT (88172645463325252);
  double begin = now_ns ();

  for (guint64 i = 0; i < n; i++)
    {
      GRWLock *lock = &locks[n_locks == 1 ? 0 : next_random (&random) % n_locks];

      if (write)
        {
          g_rw_lock_writer_lock (lock);
          g_rw_lock_writer_unlock (lock);
        }
      else
        {
          g_rw_lock_reader_lock (lock);
          g_rw_lock_reader_unlock (lock);
        }
    }
  begin = now_ns () - begin;
  free_locks (locks);
  return begin;
}

static double
run_memory (guint64 n, gboolean dependent)
{
  guint64 *words = mmap (NULL, MEMORY_WORDS * 8, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  guint64 random = G_GUINT64_CONSTANT (88172645463325252), sum = 0;
  gsize used = MEMORY_WORDS >> (divisor > 1 ? 6 : 0), mask = used - 1;
  double begin;

  if (words == MAP_FAILED)
    g_error ("there is no memory");
  /* Every page has to be there: those never written are one page of zeros. */
  for (gsize i = 0; i < used; i += 512)
    words[i] = i;
  begin = now_ns ();
  /* Apart: a choice in the loop would make both of them dependent. */
  if (dependent)
    for (guint64 i = 0; i < n; i++)
      sum += words[(next_random (&random) + sum) & mask];
  else
    for (guint64 i = 0; i < n; i++)
      sum += words[next_random (&random) & mask];
  begin = now_ns () - begin;
  munmap (words, MEMORY_WORDS * 8);
  /* So that nobody finds that the sum is of no use. */
  return sum == 1 ? begin + 1 : begin;
}

/* ----------------------------------------------------------------- the figures */

typedef enum
{
  SIDES,
  LOCKS,
  MEMORY,
} Kind;

typedef struct
{
  const char *name;
  Kind kind;
  guint64 n;
  gboolean rate;                    /* million a second; otherwise nanoseconds each */
  Side here, there;
  guint n_locks;
  gboolean variant;                 /* to write; dependent */
} Figure;

static const Figure figures[] = {
  { "pingpong_spin_rtt", SIDES, 2000000, FALSE, ping, pong, 0, FALSE },
  { "pingpong_futex_rtt", SIDES, 50000, FALSE, ping_asleep, pong_asleep, 0, FALSE },
  { "stream", SIDES, 50000000, TRUE, send_stream, consume_stream, 0, FALSE },
  { "echo_pipelined", SIDES, 50000000, TRUE, ask, echo, 0, FALSE },
  { "grwlock_reader_hot", LOCKS, 20000000, FALSE, NULL, NULL, 1, FALSE },
  { "grwlock_reader_5000", LOCKS, 10000000, FALSE, NULL, NULL, N_LOCKS, FALSE },
  { "grwlock_writer_5000", LOCKS, 10000000, FALSE, NULL, NULL, N_LOCKS, TRUE },
  { "memory_dependent", MEMORY, 5000000, FALSE, NULL, NULL, 0, TRUE },
  { "memory_independent", MEMORY, 20000000, FALSE, NULL, NULL, 0, FALSE },
};

static double
measure (const Figure *figure)
{
  guint64 n = times (figure->n);
  double ns = 0;

  switch (figure->kind)
    {
    case SIDES:
      ns = run_sides (figure->here, figure->there, n);
      break;
    case LOCKS:
      ns = run_locks (n, figure->n_locks, figure->variant);
      break;
    case MEMORY:
      ns = run_memory (n, figure->variant);
      break;
    }
  return figure->rate ? n * 1e3 / ns : ns / n;
}

static void
print (const Figure *figure, double value)
{
  const char *unit = figure->rate ? "M/s" : "ns";

  if (json)
    printf ("{\"name\":\"%s\",\"value\":%.2f,\"unit\":\"%s\"}\n", figure->name, value, unit);
  else
    printf ("%-20s %10.2f %s\n", figure->name, value, unit);
  fflush (stdout);
}

static gboolean
is_wanted (const Figure *figure, char **wanted)
{
  return wanted[0] == NULL || g_strv_contains ((const char *const *) wanted, figure->name);
}

static gboolean
is_known (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (figures); i++)
    if (g_str_equal (figures[i].name, name))
      return TRUE;
  return FALSE;
}

static void
check_arguments (char **wanted)
{
  if (divisor < 1)
    g_error ("--divisor is at least 1");
  for (; *wanted != NULL; wanted++)
    if (!is_known (*wanted))
      {
        g_printerr ("limits: there is no figure '%s'; there are:", *wanted);
        for (guint i = 0; i < G_N_ELEMENTS (figures); i++)
          g_printerr (" %s", figures[i].name);
        g_printerr ("\n");
        exit (2);
      }
}

static gboolean
is_possible (const Figure *figure)
{
  if (figure->kind != SIDES || g_get_num_processors () >= 2)
    return TRUE;
  g_printerr ("limits: %s needs two CPUs\n", figure->name);
  return FALSE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("[FIGURE...]");
  g_autoptr (GError) error = NULL;
  int status = 0;

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (context, "What two CPUs of this machine allow");
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("limits: %s\n", error->message);
      return 2;
    }
  check_arguments (argv + 1);
  for (guint i = 0; i < G_N_ELEMENTS (figures); i++)
    {
      if (!is_wanted (&figures[i], argv + 1))
        continue;
      if (is_possible (&figures[i]))
        print (&figures[i], measure (&figures[i]));
      else
        status = 1;
    }
  return status;
}
