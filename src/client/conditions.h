/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What insert, delete, read and add can be asked for beside what they do. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* A version that was not given: none is that high. */
#define CLI_NO_VERSION G_MAXUINT64

typedef struct
{
  gboolean if_absent;
  gboolean if_present;
  char *if_value;          /* NULL where not given */
  guint64 if_version;      /* CLI_NO_VERSION where not given */
  guint64 ttl_ms;          /* 0 where not given */
  gboolean wrap;
  gboolean show_version;
  gboolean old;
} CliConditions;

/* For the tables of options; the commands' options begin with a CliConditions. */
#define CLI_OPTION_IF_ABSENT \
  { "if-absent", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (CliConditions, if_absent), NULL, \
    "only if there is no such key" }
#define CLI_OPTION_IF_PRESENT \
  { "if-present", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (CliConditions, if_present), NULL, \
    "only if there is such a key" }
#define CLI_OPTION_IF_VALUE \
  { "if-value", 0, CLI_OPTION_TEXT, G_STRUCT_OFFSET (CliConditions, if_value), "VALUE", \
    "only if its value is VALUE" }
#define CLI_OPTION_IF_VERSION \
  { "if-version", 0, CLI_OPTION_NUMBER, G_STRUCT_OFFSET (CliConditions, if_version), "N", \
    "only if its version is N; 0: there is no such key", 0, CLI_NO_VERSION - 1 }
#define CLI_OPTION_TTL \
  { "ttl", 0, CLI_OPTION_NUMBER, G_STRUCT_OFFSET (CliConditions, ttl_ms), "MS", \
    "expire after so many milliseconds", 1, SHMKV_TTL_MAX }
#define CLI_OPTION_WRAP \
  { "wrap", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (CliConditions, wrap), NULL, \
    "calculate modulo 2^64" }
#define CLI_OPTION_SHOW_VERSION \
  { "show-version", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (CliConditions, show_version), NULL, \
    "print the key's version too" }
#define CLI_OPTION_OLD \
  { "old", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (CliConditions, old), NULL, \
    "print the value that it had, too" }

/* Whether they fit together, and mean something. */
gboolean cli_conditions_check (const CliContext *context, const CliConditions *conditions,
                               GError **error);

/* Puts them, which were checked, into a request; it then points to where they
 * do.  The text of --if-value is written to: once for all requests. */
void cli_conditions_apply (const CliContext *context, const CliConditions *conditions,
                           ShmkvRequest *request);

G_END_DECLS
