/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Processes that are started to be killed, what they share with those who look
 * after them, and what they may leave behind. */

#pragma once

#include "play.h"
#include "roles.h"

#include <sys/types.h>

G_BEGIN_DECLS

/* Longer than anything takes, on the slowest machine with a sanitizer. */
#define PATIENCE_US (G_GINT64_CONSTANT (30) * G_USEC_PER_SEC)

#define N_PROGRESS 256
#define N_HISTOGRAMS 8

/* When a server died that is killed again and again. */
typedef struct
{
  _Atomic guint pid;
  _Atomic gint64 when_ns;
} Death;

#define N_DEATHS 64

/* What all processes of a run share. */
typedef struct
{
  _Atomic gboolean go;              /* the server is ready */
  _Atomic gboolean stop;
  _Atomic guint failures;
  char failure[512];                /* the first */
  _Atomic guint64 client_kills;
  _Atomic guint64 server_kills;
  _Atomic guint64 server_ends;      /* in other ways */
  _Atomic guint64 points;           /* of the kills, those at a point */
  _Atomic guint64 stops;            /* by SIGSTOP */
  _Atomic guint64 worker_changes;
  _Atomic guint64 missed;           /* what a watcher was told that it missed */
  _Atomic guint64 n_deaths;
  Death deaths[N_DEATHS];           /* the last ones */
  _Atomic gint64 max_end_ns;        /* from SIGKILL until the kernel had ended it */
  _Atomic gint64 max_gone_ns;       /* from SIGKILL until its clients knew */
  _Atomic gint64 max_start_ns;      /* until the next one could be used */
  _Atomic gint64 max_free_ns;       /* until a dead client's session was gone */
  PlayProgress progress[N_PROGRESS];
  CliHistogram latency[N_HISTOGRAMS];
} Shared;

typedef struct
{
  pid_t pid;                        /* 0: none */
  gboolean ended;
  int status;
  gint64 ended_ns;
} Process;

/* Memory that children share, also behind exec. */
Shared *shared_new (int *fd_out);

/* Something is wrong: says so, and ends the run. */
void shared_fail (Shared *shared, const char *format, ...) G_GNUC_PRINTF (2, 3);
gboolean shared_goes_on (gpointer shared);
void shared_add (_Atomic guint64 *count, guint64 n);
void shared_max (_Atomic gint64 *max, gint64 value);

/* For those whose server is gone: how long ago it died.  FALSE where nobody knows. */
void shared_note_death (Shared *shared, pid_t pid, gint64 when_ns);
gboolean shared_find_death (Shared *shared, guint pid, gint64 *when_ns_out);

/* A child that runs a function, as far as the run goes on. */
Process process_fork (void (*run) (Shared *, gpointer), Shared *shared, gpointer data);

/* `program`, relative to this one; `crash`: what SHMKV_CRASH is, NULL: nothing. */
Process process_start_program (const char *program, const char *name, const char *crash,
                               guint n_sessions);

/* The same with crash-server. */
Process process_start_server (const char *name, const char *crash, guint n_sessions);

/* crash-client, which tells its progress in `shared`, open as `fd`, at `slot`. */
Process process_start_client (const char *name, const char *crash, Role role, guint64 seed,
                              guint id, int fd, guint slot);

gboolean process_has_ended (Process *process);
gboolean process_await_end (Process *process, gint64 timeout_us);
gboolean process_was_killed (const Process *process);
gboolean process_succeeded (const Process *process);
char *process_describe_end (const Process *process);

/* By SIGSTOP; on return it has stopped, or ended. */
void process_stop (Process *process);

/* By SIGKILL, and waits for the end. */
void process_kill (Process *process);

/* Attaches as soon as the server is ready; NULL where it ended before. */
ShmkvClient *process_attach (const char *name, Process *server, GError **error);

/* Whether the error says that there is no server, or no longer. */
gboolean is_gone (const GError *error);

/* Whether nothing of the server is in /dev/shm; says what is. */
gboolean is_clean (const char *name, GError **error);

/* One of the server's statistics; whether there is a session of a process. */
gboolean get_stat (ShmkvClient *client, const char *stat, guint64 *number_out, GError **error);
gboolean has_session (ShmkvPairs *sessions, pid_t pid);

/* A line of text, for the shell, in the background: what it needs is in the
 * environment. */
Process process_start_shell (const char *line, const char *name, guint64 seed);

/* Whether a session left keys that were to go with it. */
gboolean check_owned (ShmkvClient *client, guint id, GError **error);

G_END_DECLS
