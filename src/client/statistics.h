/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the server's statistics mean. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_STATISTIC_UNKNOWN,   /* of a later server */
  CLI_STATISTIC_COUNTER,   /* counts up from the server's start */
  CLI_STATISTIC_GAUGE      /* a state */
} CliStatisticType;

typedef struct
{
  const char *name;
  CliStatisticType type;
  const char *group;       /* for people */
  const char *help;        /* one line, without a dot */
} CliStatisticInfo;

/* Never NULL. */
const CliStatisticInfo *cli_statistic_get_info (const char *name);

typedef struct
{
  char *name;
  guint64 value;
  const CliStatisticInfo *info;
} CliStatistic;

/* How often serving a batch of requests took a time up to a bound, and longer
 * than the bound before. */
typedef struct
{
  guint64 bound_ns;        /* G_MAXUINT64: none */
  guint64 n;
} CliServiceCount;

typedef struct
{
  GArray *list;            /* of CliStatistic, without the service times */
  GArray *service;         /* of CliServiceCount, ascending */
} CliStatistics;

/* Takes them out of the server's answer, leaving out what is no statistic. */
CliStatistics *cli_statistics_new (const ShmkvPairs *pairs);
void cli_statistics_free (CliStatistics *statistics);

/* The value of one; FALSE where there is none of that name. */
gboolean cli_statistics_find (const CliStatistics *statistics, const char *name,
                              guint64 *value_out);

/* How many batches the service times are of. */
guint64 cli_statistics_count_service (const CliStatistics *statistics);

/* The bound that a share of `q` of the batches kept; 0 where there were none. */
guint64 cli_statistics_get_service (const CliStatistics *statistics, double q);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliStatistics, cli_statistics_free)

G_END_DECLS
