/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/printer.h"

#include "wire/record.h"

#include <errno.h>
#include <unistd.h>

/* Buckets that wait to be printed. */
#define MAX_WAITING 64

/* Written at once. */
#define WRITE_BYTES 32768

/* How long the end of the server waits for a reader that does not read. */
#define FAREWELL_US (1 * G_USEC_PER_SEC)

typedef struct
{
  guint bucket;
  gsize n;
  GByteArray *body;
} Job;

struct _ShmkvPrinter
{
  gatomicrefcount references;       /* ours and the thread's */
  GMutex mutex;
  GCond changed;
  GQueue jobs;                      /* of Job, under the mutex */
  gboolean ending;                  /* the same */
  gboolean ended;                   /* the same */
};

static void
job_free (Job *job)
{
  g_byte_array_unref (job->body);
  g_free (job);
}

static void
printer_unref (ShmkvPrinter *printer)
{
  if (!g_atomic_ref_count_dec (&printer->references))
    return;
  g_queue_clear_full (&printer->jobs, (GDestroyNotify) job_free);
  g_cond_clear (&printer->changed);
  g_mutex_clear (&printer->mutex);
  g_free (printer);
}

/* Not with stdio: at exit() that would write what is left once more, and wait
 * for a reader that does not read. */
static gboolean
write_all (GString *text)
{
  gsize done = 0;

  while (done < text->len)
    {
      gssize n = write (STDOUT_FILENO, text->str + done, text->len - done);

      if (n < 0 && errno != EINTR)
        return FALSE;
      done += MAX (n, 0);
    }
  g_string_truncate (text, 0);
  return TRUE;
}

/* As shmkv-client writes them: a byte string is in quotes, and what would end it
 * or its line, or is not ASCII, in hexadecimal. */
static void
append_field (GString *text, const ShmkvField *field)
{
  const guint8 *bytes = field->bytes;

  if (field->kind == SHMKV_WIRE_KIND_INTEGER)
    {
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, field->integer);
      return;
    }
  g_string_append_c (text, '"');
  for (guint64 i = 0; i < field->integer; i++)
    if (bytes[i] == '\\')
      g_string_append (text, "\\\\");
    else if (g_ascii_isgraph (bytes[i]) && bytes[i] != '"')
      g_string_append_c (text, (char) bytes[i]);
    else
      g_string_append_printf (text, "\\%02x", bytes[i]);
  g_string_append_c (text, '"');
}

static void
print_job (const Job *job)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gboolean written = TRUE;
  const uint64_t *cursor = (const uint64_t *) (const void *) job->body->data;
  size_t left = job->body->len;
  ShmkvPair pair;

  g_string_printf (text, "bucket %u: %" G_GSIZE_FORMAT " %s\n", job->bucket, job->n,
                   job->n == 1 ? "pair" : "pairs");
  while (written && shmkv_pair_decode (&cursor, &left, &pair))
    {
      append_field (text, &pair.key);
      g_string_append_c (text, ' ');
      append_field (text, &pair.value);
      g_string_append_c (text, '\n');
      if (text->len >= WRITE_BYTES)
        written = write_all (text);
    }
  if (!written || !write_all (text))
    g_warning ("cannot print bucket %u on standard output: %s", job->bucket, g_strerror (errno));
}

/* The next job, or NULL at the end. */
static Job *
wait_for_job (ShmkvPrinter *printer)
{
  Job *job;

  g_mutex_lock (&printer->mutex);
  while ((job = g_queue_pop_head (&printer->jobs)) == NULL && !printer->ending)
    g_cond_wait (&printer->changed, &printer->mutex);
  if (job == NULL)
    {
      printer->ended = TRUE;
      g_cond_broadcast (&printer->changed);
    }
  g_mutex_unlock (&printer->mutex);
  return job;
}

static gpointer
run (gpointer data)
{
  ShmkvPrinter *printer = data;
  Job *job;

  while ((job = wait_for_job (printer)) != NULL)
    {
      print_job (job);
      job_free (job);
    }
  printer_unref (printer);
  return NULL;
}

ShmkvPrinter *
shmkv_printer_new (GError **error)
{
  ShmkvPrinter *printer = g_new0 (ShmkvPrinter, 1);
  GThread *thread;

  g_atomic_ref_count_init (&printer->references);
  g_atomic_ref_count_inc (&printer->references);
  g_mutex_init (&printer->mutex);
  g_cond_init (&printer->changed);
  g_queue_init (&printer->jobs);
  thread = g_thread_try_new ("printer", run, printer, error);
  if (thread == NULL)
    {
      printer_unref (printer);
      printer_unref (printer);
      return NULL;
    }
  g_thread_unref (thread);
  return printer;
}

void
shmkv_printer_free (ShmkvPrinter *printer)
{
  gint64 deadline = g_get_monotonic_time () + FAREWELL_US;

  g_mutex_lock (&printer->mutex);
  printer->ending = TRUE;
  g_cond_broadcast (&printer->changed);
  while (!printer->ended && g_cond_wait_until (&printer->changed, &printer->mutex, deadline))
    ;
  g_mutex_unlock (&printer->mutex);
  printer_unref (printer);
}

gboolean
shmkv_printer_is_full (ShmkvPrinter *printer)
{
  gboolean full;

  g_mutex_lock (&printer->mutex);
  full = g_queue_get_length (&printer->jobs) >= MAX_WAITING;
  g_mutex_unlock (&printer->mutex);
  return full;
}

gboolean
shmkv_printer_print (ShmkvPrinter *printer, guint bucket, GByteArray *body, gsize n)
{
  gboolean accepted;

  g_mutex_lock (&printer->mutex);
  accepted = g_queue_get_length (&printer->jobs) < MAX_WAITING;
  if (accepted)
    {
      Job *job = g_new (Job, 1);

      *job = (Job) { .bucket = bucket, .n = n, .body = body };
      g_queue_push_tail (&printer->jobs, job);
      g_cond_broadcast (&printer->changed);
    }
  g_mutex_unlock (&printer->mutex);
  if (!accepted)
    g_byte_array_unref (body);
  return accepted;
}
