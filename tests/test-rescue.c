/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory whose file is cut off while it is in use. */

#include "config.h"

#include "transport/rescue.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (4 * 4096)
#define MARK_OFFSET 128
#define MARK 0x12345678u
#define N_THREADS 8
#define ROUNDS 200

static _Atomic guint n_signals;

static void
on_bus_error (int number, siginfo_t *info, void *context)
{
  n_signals++;
  if (shmkv_rescue (info->si_addr))
    return;
  signal (SIGBUS, SIG_DFL);
  raise (SIGBUS);
}

static void
catch_bus_errors (void)
{
  struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

  g_assert_cmpint (sigaction (SIGBUS, &action, NULL), ==, 0);
}

typedef struct
{
  int fd;
  volatile guint8 *base;
  ShmkvRescue *rescue;
} Mapping;

static Mapping
mapping_new (int protection, gboolean repair)
{
  Mapping mapping = { .fd = memfd_create ("test-rescue", MFD_CLOEXEC) };

  g_assert_cmpint (mapping.fd, >=, 0);
  g_assert_cmpint (ftruncate (mapping.fd, SIZE), ==, 0);
  mapping.base = mmap (NULL, SIZE, protection, MAP_SHARED, mapping.fd, 0);
  g_assert_true ((gpointer) mapping.base != MAP_FAILED);
  mapping.rescue = shmkv_rescue_watch ((gpointer) mapping.base, SIZE, protection);
  if (repair)
    shmkv_rescue_set_repair (mapping.rescue, mapping.fd, MARK_OFFSET, MARK);
  return mapping;
}

static void
mapping_clear (Mapping *mapping)
{
  shmkv_rescue_end (mapping->rescue);
  munmap ((gpointer) mapping->base, SIZE);
  close (mapping->fd);
}

static void
cut_off (const Mapping *mapping)
{
  g_assert_cmpint (ftruncate (mapping->fd, 0), ==, 0);
}

static goffset
length_of (const Mapping *mapping)
{
  struct stat status;

  g_assert_cmpint (fstat (mapping->fd, &status), ==, 0);
  return status.st_size;
}

/* For others, it is as long again, and says so. */
static void
expect_repaired (const Mapping *mapping)
{
  guint32 mark;

  g_assert_cmpint (length_of (mapping), ==, SIZE);
  g_assert_cmpint (pread (mapping->fd, &mark, sizeof mark, MARK_OFFSET), ==, sizeof mark);
  g_assert_cmpuint (mark, ==, MARK);
}

static void
test_load (void)
{
  Mapping mapping = mapping_new (PROT_READ | PROT_WRITE, FALSE);
  guint before = n_signals;

  memset ((gpointer) mapping.base, 7, SIZE);
  g_assert_false (shmkv_rescue_is_lost (mapping.rescue));
  cut_off (&mapping);
  g_assert_cmpuint (mapping.base[SIZE - 1], ==, 0);
  g_assert_true (shmkv_rescue_is_lost (mapping.rescue));
  g_assert_cmpuint (n_signals, ==, before + 1);
  /* All of it, and the file is not ours to change. */
  for (guint i = 0; i < SIZE; i++)
    g_assert_cmpuint (mapping.base[i], ==, 0);
  g_assert_cmpuint (n_signals, ==, before + 1);
  g_assert_cmpint (length_of (&mapping), ==, 0);
  mapping_clear (&mapping);
}

static void
test_store (void)
{
  Mapping mapping = mapping_new (PROT_READ | PROT_WRITE, TRUE);

  cut_off (&mapping);
  mapping.base[5000] = 1;
  g_assert_cmpuint (mapping.base[5000], ==, 1);
  g_assert_true (shmkv_rescue_is_lost (mapping.rescue));
  expect_repaired (&mapping);
  mapping_clear (&mapping);
}

/* Nobody has met the signal yet. */
static void
test_repair (void)
{
  Mapping mapping = mapping_new (PROT_READ, TRUE);
  guint before = n_signals;

  cut_off (&mapping);
  g_assert_true (shmkv_rescue_repair (mapping.rescue));
  expect_repaired (&mapping);
  g_assert_true (shmkv_rescue_is_lost (mapping.rescue));
  g_assert_cmpuint (mapping.base[MARK_OFFSET], ==, MARK & 0xff);
  g_assert_cmpuint (n_signals, ==, before);
  mapping_clear (&mapping);
}

/* A mapping that is to be read only stays so. */
static void
test_read_only (void)
{
  Mapping mapping = mapping_new (PROT_READ, FALSE);

  cut_off (&mapping);
  g_assert_cmpuint (mapping.base[0], ==, 0);
  if (g_test_subprocess ())
    {
      mapping.base[0] = 1;
      return;
    }
  mapping_clear (&mapping);
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
}

/* Only memory that was registered is replaced, and only while it is. */
static void
test_others (void)
{
  Mapping mapping = mapping_new (PROT_READ, FALSE);
  Mapping other = mapping_new (PROT_READ, FALSE);
  guint8 local = 0;

  g_assert_false (shmkv_rescue (&local));
  g_assert_false (shmkv_rescue (NULL));
  errno = EILSEQ;
  g_assert_true (shmkv_rescue ((gpointer) (other.base + 1)));
  g_assert_cmpint (errno, ==, EILSEQ);
  g_assert_true (shmkv_rescue_is_lost (other.rescue));
  shmkv_rescue_end (other.rescue);
  g_assert_false (shmkv_rescue ((gpointer) (other.base + 1)));

  /* The place in the list is used again, as good as new. */
  other.rescue = shmkv_rescue_watch ((gpointer) other.base, SIZE, PROT_READ);
  g_assert_false (shmkv_rescue_is_lost (other.rescue));
  g_assert_false (shmkv_rescue_is_lost (NULL));
  mapping_clear (&other);
  mapping_clear (&mapping);
}

/* The signal means what it always meant, where the memory is another's. */
static void
test_foreign (void)
{
  Mapping mapping = mapping_new (PROT_READ, FALSE);

  if (g_test_subprocess ())
    {
      shmkv_rescue_end (mapping.rescue);
      cut_off (&mapping);
      g_assert_cmpuint (mapping.base[0], ==, 0);
      return;
    }
  mapping_clear (&mapping);
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
}

/* Each thread with mappings of its own, all in the one list. */
static gpointer
map_and_cut (gpointer data)
{
  for (guint i = 0; i < ROUNDS; i++)
    {
      Mapping mapping = mapping_new (PROT_READ | PROT_WRITE, i % 2);

      mapping.base[0] = 1;
      cut_off (&mapping);
      g_assert_cmpuint (mapping.base[0], ==, 0);
      g_assert_true (shmkv_rescue_is_lost (mapping.rescue));
      mapping_clear (&mapping);
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("cutter", map_and_cut, NULL);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

/* All use the same mapping when it is cut off. */
static gpointer
touch (gpointer data)
{
  const Mapping *mapping = data;

  while (!shmkv_rescue_is_lost (mapping->rescue))
    for (guint i = 0; i < SIZE; i += 512)
      atomic_store_explicit ((_Atomic guint8 *) (mapping->base + i), 1, memory_order_relaxed);
  return NULL;
}

static void
test_shared (void)
{
  for (guint round = 0; round < 20; round++)
    {
      Mapping mapping = mapping_new (PROT_READ | PROT_WRITE, TRUE);
      GThread *threads[N_THREADS];

      for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new ("toucher", touch, &mapping);
      cut_off (&mapping);
      for (guint i = 0; i < N_THREADS; i++)
        g_thread_join (threads[i]);
      expect_repaired (&mapping);
      mapping_clear (&mapping);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  catch_bus_errors ();
  g_test_add_func ("/rescue/load", test_load);
  g_test_add_func ("/rescue/store", test_store);
  g_test_add_func ("/rescue/repair", test_repair);
  g_test_add_func ("/rescue/read-only", test_read_only);
  g_test_add_func ("/rescue/others", test_others);
  g_test_add_func ("/rescue/foreign", test_foreign);
  g_test_add_func ("/rescue/threads", test_threads);
  g_test_add_func ("/rescue/shared", test_shared);
  return g_test_run ();
}
