/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/conditions.h"

#include "client/args.h"

static gboolean
refuse (const char *one, const char *other, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s and %s cannot both be met", one, other);
  return FALSE;
}

gboolean
cli_conditions_check (const CliContext *context, const CliConditions *conditions, GError **error)
{
  gboolean of_version = conditions->if_version != CLI_NO_VERSION;
  g_autofree char *text = g_strdup (conditions->if_value);
  ShmkvDatum value;

  if (conditions->if_absent && conditions->if_present)
    return refuse ("--if-absent", "--if-present", error);
  if (conditions->if_absent && conditions->if_value != NULL)
    return refuse ("--if-absent", "--if-value", error);
  if (conditions->if_absent && of_version && conditions->if_version != 0)
    return refuse ("--if-absent", "--if-version", error);
  return conditions->if_value == NULL
         || cli_value_parse (context, "--if-value", text, &value, error);
}

void
cli_conditions_apply (const CliContext *context, const CliConditions *conditions,
                      ShmkvRequest *request)
{
  request->flags |= (conditions->if_absent ? SHMKV_FLAG_IF_ABSENT : 0)
                    | (conditions->if_present ? SHMKV_FLAG_IF_PRESENT : 0)
                    | (conditions->wrap ? SHMKV_FLAG_WRAP : 0)
                    | (conditions->show_version ? SHMKV_FLAG_VERSION : 0)
                    | (conditions->old ? SHMKV_FLAG_OLD : 0)
                    | (conditions->ttl_ms != 0 ? SHMKV_FLAG_TTL : 0)
                    | (conditions->if_value != NULL ? SHMKV_FLAG_IF_VALUE : 0)
                    | (conditions->if_version != CLI_NO_VERSION ? SHMKV_FLAG_IF_VERSION : 0);
  request->ttl_ms = conditions->ttl_ms;
  if (conditions->if_version != CLI_NO_VERSION)
    request->version = conditions->if_version;
  if (conditions->if_value != NULL)
    (void) cli_value_parse (context, "--if-value", conditions->if_value, &request->expected, NULL);
}
