/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/name.h"

#include <stdlib.h>
#include <string.h>

gboolean
shmkv_name_is_valid (const char *name)
{
  gsize length = strlen (name);

  if (length < 1 || length > SHMKV_NAME_MAX_LENGTH || name[0] == '.')
    return FALSE;
  for (const char *c = name; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && strchr ("-_.", *c) == NULL)
      return FALSE;
  return TRUE;
}

const char *
shmkv_name_resolve (const char *name)
{
  const char *variable = secure_getenv (SHMKV_NAME_VARIABLE);

  if (name != NULL)
    return name;
  return variable != NULL && variable[0] != '\0' ? variable : SHMKV_NAME_FALLBACK;
}

char *
shmkv_name_requests (const char *name)
{
  return g_strdup_printf ("/shmkv.%s.requests", name);
}

char *
shmkv_name_responses (const char *name)
{
  return g_strdup_printf ("/shmkv.%s.responses", name);
}
