/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the programs share that test scripts call.  They see the library as its
 * users do: through <shmkv/shmkv.h>. */

#pragma once

#include <shmkv/shmkv.h>

#include <stdio.h>
#include <stdlib.h>

G_BEGIN_DECLS

/* The name of an error of the library, for scripts. */
static inline const char *
helper_error_name (const GError *error)
{
  static const char *const names[] = {
    [SHMKV_ERROR_INVALID] = "INVALID",
    [SHMKV_ERROR_NO_SERVER] = "NO_SERVER",
    [SHMKV_ERROR_ACCESS] = "ACCESS",
    [SHMKV_ERROR_INCOMPATIBLE] = "INCOMPATIBLE",
    [SHMKV_ERROR_SERVER_GONE] = "SERVER_GONE",
    [SHMKV_ERROR_TIMEOUT] = "TIMEOUT",
    [SHMKV_ERROR_NO_SESSION] = "NO_SESSION",
    [SHMKV_ERROR_DROPPED] = "DROPPED",
    [SHMKV_ERROR_PROTOCOL] = "PROTOCOL",
    [SHMKV_ERROR_FORKED] = "FORKED",
    [SHMKV_ERROR_UNSUPPORTED] = "UNSUPPORTED",
    [SHMKV_ERROR_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [SHMKV_ERROR_TOO_MANY] = "TOO_MANY",
    [SHMKV_ERROR_LAST_WORKER] = "LAST_WORKER",
    [SHMKV_ERROR_NO_MEMORY] = "NO_MEMORY",
    [SHMKV_ERROR_BUSY] = "BUSY",
    [SHMKV_ERROR_TOO_LARGE] = "TOO_LARGE",
    [SHMKV_ERROR_NO_SPACE] = "NO_SPACE",
    [SHMKV_ERROR_WRONG_KIND] = "WRONG_KIND",
    [SHMKV_ERROR_OVERFLOW] = "OVERFLOW",
    [SHMKV_ERROR_BAD_CURSOR] = "BAD_CURSOR",
    [SHMKV_ERROR_SYSTEM] = "SYSTEM",
  };

  if (error == NULL)
    return "NONE";
  if (error->domain != SHMKV_ERROR || (guint) error->code >= G_N_ELEMENTS (names))
    return "FOREIGN";
  return names[error->code];
}

/* For what has to work: ends the program where it did not. */
static inline void
helper_require (gboolean done, const char *what, GError **error)
{
  const GError *why = error != NULL ? *error : NULL;

  if (done)
    return;
  printf ("failed: %s: %s: %s\n", what, helper_error_name (why), why != NULL ? why->message : "");
  fflush (stdout);
  exit (EXIT_FAILURE);
}

/* Prints a line at once. */
static inline void helper_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

static inline void
helper_say (const char *format, ...)
{
  va_list arguments;

  flockfile (stdout);
  va_start (arguments, format);
  vprintf (format, arguments);
  va_end (arguments);
  putchar ('\n');
  fflush (stdout);
  funlockfile (stdout);
}

static inline ShmkvClient *
helper_attach (const char *name)
{
  GError *error = NULL;
  ShmkvClient *client = shmkv_client_new (name, &error);

  helper_require (client != NULL, "attach", &error);
  return client;
}

static inline ShmkvSession *
helper_open (ShmkvClient *client)
{
  GError *error = NULL;
  ShmkvSession *session = shmkv_session_new (client, &error);

  helper_require (session != NULL, "open a session", &error);
  return session;
}

G_END_DECLS
