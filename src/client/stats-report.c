/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/stats-report.h"

#include "client/json.h"
#include "client/output.h"

#include <string.h>

#define VALUE_WIDTH 14

static const struct
{
  const char *name;
  double q;
} quantiles[] = {
  { "service_p50_ns", 0.5 },   { "service_p90_ns", 0.9 },     { "service_p99_ns", 0.99 },
  { "service_p999_ns", 0.999 }, { "service_max_ns", 1.0 },
};

static const CliStatistic *
get_statistic (const CliStatistics *statistics, guint index)
{
  return &g_array_index (statistics->list, CliStatistic, index);
}

/* Per second; FALSE where that makes no sense. */
static gboolean
get_rate (const CliStatistic *statistic, const CliStatsBefore *before, double *rate_out)
{
  guint64 value;

  if (before->statistics == NULL || statistic->info->type != CLI_STATISTIC_COUNTER
      || !cli_statistics_find (before->statistics, statistic->name, &value))
    return FALSE;
  *rate_out = (double) (gint64) (statistic->value - value) / before->seconds;
  return TRUE;
}

/* --------------------------------------------------------------------- text */

static int
find_width (const CliStatistics *statistics)
{
  gsize width = strlen (quantiles[3].name);

  for (guint i = 0; i < statistics->list->len; i++)
    width = MAX (width, strlen (get_statistic (statistics, i)->name));
  return (int) MIN (width, 60);
}

static void
print_line (const CliContext *context, int width, const CliStatistic *statistic,
            const CliStatsBefore *before)
{
  double rate;

  cli_print (context, "  %-*s %*" G_GUINT64_FORMAT, width, statistic->name, VALUE_WIDTH,
             statistic->value);
  if (get_rate (statistic, before, &rate))
    cli_print (context, " %*.1f/s", VALUE_WIDTH, rate);
  cli_print (context, "\n");
}

static void
print_bound (const CliContext *context, int width, const char *name, guint64 bound)
{
  if (bound == G_MAXUINT64)
    cli_print (context, "  %-*s %*s\n", width, name, VALUE_WIDTH, "inf");
  else
    cli_print (context, "  %-*s %*" G_GUINT64_FORMAT "\n", width, name, VALUE_WIDTH, bound);
}

static void
print_service (const CliContext *context, const CliStatistics *statistics, int width)
{
  if (cli_statistics_count_service (statistics) == 0)
    return;
  cli_print (context, "\nService time of a batch of requests, at most\n");
  for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
    print_bound (context, width, quantiles[i].name,
                 cli_statistics_get_service (statistics, quantiles[i].q));
}

void
cli_stats_print_text (const CliContext *context, const CliStatistics *statistics,
                      const CliStatsBefore *before)
{
  int width = find_width (statistics);
  const char *group = NULL;

  for (guint i = 0; i < statistics->list->len; i++)
    {
      const CliStatistic *statistic = get_statistic (statistics, i);

      if (g_strcmp0 (group, statistic->info->group) != 0)
        cli_print (context, "%s%s\n", group != NULL ? "\n" : "", statistic->info->group);
      group = statistic->info->group;
      print_line (context, width, statistic, before);
    }
  print_service (context, statistics, width);
}

/* --------------------------------------------------------------------- JSON */

static void
add_rates (GString *line, const CliStatistics *statistics, const CliStatsBefore *before)
{
  for (guint i = 0; i < statistics->list->len; i++)
    {
      const CliStatistic *statistic = get_statistic (statistics, i);
      double rate;

      if (get_rate (statistic, before, &rate))
        {
          g_autofree char *name = g_strconcat (statistic->name, "_per_second", NULL);

          cli_json_add_fixed (line, name, rate, 1);
        }
    }
}

static char *
get_name (const ShmkvPairs *pairs, gsize index, guint64 *value_out)
{
  ShmkvDatum name, value;

  shmkv_pairs_get (pairs, index, &name, &value);
  *value_out = value.integer;
  return g_utf8_make_valid ((const char *) name.bytes, name.length);
}

void
cli_stats_print_json (const CliContext *context, const ShmkvPairs *pairs,
                      const CliStatistics *statistics, const CliStatsBefore *before)
{
  gsize n = shmkv_pairs_get_length (pairs);
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  for (gsize i = 0; i < n; i++)
    {
      guint64 value;
      g_autofree char *name = get_name (pairs, i, &value);

      cli_json_add_unsigned (line, name, value);
    }
  add_rates (line, statistics, before);
  cli_print_json (context, line);
}

/* ----------------------------------------------------------------- sessions */

/* Statistics "LANE.COUNTER"; the counter is what comes behind the dot. */
static const char *
split_name (char *name)
{
  char *dot = strchr (name, '.');

  if (dot == NULL)
    return NULL;
  *dot = '\0';
  return dot + 1;
}

/* What makes a row of the statistics of one session. */
typedef struct
{
  char *lane;
  GArray *values;          /* of guint64, by column */
} SessionRow;

static void
free_row (gpointer data)
{
  SessionRow *row = data;

  g_free (row->lane);
  g_array_unref (row->values);
  g_free (row);
}

static guint
find_column (GPtrArray *columns, const char *name)
{
  guint index;

  if (g_ptr_array_find_with_equal_func (columns, name, g_str_equal, &index))
    return index;
  g_ptr_array_add (columns, g_strdup (name));
  return columns->len - 1;
}

/* The rows come in a row. */
static SessionRow *
find_row (GPtrArray *rows, const char *lane)
{
  SessionRow *row = rows->len > 0 ? rows->pdata[rows->len - 1] : NULL;

  if (row != NULL && g_str_equal (row->lane, lane))
    return row;
  row = g_new (SessionRow, 1);
  *row = (SessionRow) { g_strdup (lane), g_array_new (FALSE, TRUE, sizeof (guint64)) };
  g_ptr_array_add (rows, row);
  return row;
}

static void
collect_rows (const ShmkvPairs *sessions, GPtrArray *columns, GPtrArray *rows)
{
  gsize n = shmkv_pairs_get_length (sessions);

  for (gsize i = 0; i < n; i++)
    {
      guint64 value;
      g_autofree char *name = get_name (sessions, i, &value);
      const char *counter = split_name (name);
      SessionRow *row;
      guint column;

      if (counter == NULL)
        continue;
      column = find_column (columns, counter);
      row = find_row (rows, name);
      if (row->values->len <= column)
        g_array_set_size (row->values, column + 1);
      g_array_index (row->values, guint64, column) = value;
    }
}

static guint64
get_cell (const SessionRow *row, guint column)
{
  return column < row->values->len ? g_array_index (row->values, guint64, column) : 0;
}

static int
get_column_width (const char *name)
{
  return (int) MAX (strlen (name), 10);
}

static void
print_row (const CliContext *context, const GPtrArray *columns, const SessionRow *row)
{
  cli_print (context, "%7s", row->lane);
  for (guint i = 0; i < columns->len; i++)
    cli_print (context, " %*" G_GUINT64_FORMAT, get_column_width (columns->pdata[i]),
               get_cell (row, i));
  cli_print (context, "\n");
}

static void
print_row_json (const CliContext *context, const GPtrArray *columns, const SessionRow *row)
{
  g_autoptr (GString) line = g_string_new (NULL);
  guint64 lane = g_ascii_strtoull (row->lane, NULL, 10);

  cli_json_open (line);
  cli_json_add_unsigned (line, "session", lane);
  for (guint i = 0; i < columns->len; i++)
    cli_json_add_unsigned (line, columns->pdata[i], get_cell (row, i));
  cli_print_json (context, line);
}

void
cli_stats_print_sessions (const CliContext *context, const ShmkvPairs *sessions)
{
  g_autoptr (GPtrArray) columns = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (free_row);

  collect_rows (sessions, columns, rows);
  if (!context->json)
    {
      cli_print (context, "session");
      for (guint i = 0; i < columns->len; i++)
        cli_print (context, " %*s", get_column_width (columns->pdata[i]),
                   (const char *) columns->pdata[i]);
      cli_print (context, "\n");
    }
  for (guint i = 0; i < rows->len; i++)
    {
      if (context->json)
        print_row_json (context, columns, rows->pdata[i]);
      else
        print_row (context, columns, rows->pdata[i]);
    }
}

/* --------------------------------------------------------------- Prometheus */

static void
print_header (const CliContext *context, const char *metric, const char *help, const char *type)
{
  cli_print (context, "# HELP %s %s.\n# TYPE %s %s\n", metric, help, metric, type);
}

static const char *
get_type_name (CliStatisticType type)
{
  switch (type)
    {
    case CLI_STATISTIC_COUNTER:
      return "counter";
    case CLI_STATISTIC_GAUGE:
      return "gauge";
    case CLI_STATISTIC_UNKNOWN:
      break;
    }
  return "untyped";
}

/* Prometheus counts time in seconds. */
static const struct
{
  const char *name;
  const char *metric;
  const char *help;
  const char *type;
  guint64 per_second;
} times[] = {
  { "uptime_ms", "shmkv_uptime_seconds", "Seconds since the server started", "gauge", 1000 },
  { "cpu_user_us", "shmkv_cpu_user_seconds_total",
    "Seconds of CPU time that the server used itself", "counter", 1000000 },
  { "cpu_system_us", "shmkv_cpu_system_seconds_total",
    "Seconds of CPU time that the kernel used for it", "counter", 1000000 },
};

/* FALSE where it is no time. */
static gboolean
print_time (const CliContext *context, const char *server, const CliStatistic *statistic)
{
  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    {
      guint64 unit = times[i].per_second;
      int digits = unit == 1000 ? 3 : 6;

      if (!g_str_equal (statistic->name, times[i].name))
        continue;
      print_header (context, times[i].metric, times[i].help, times[i].type);
      cli_print (context, "%s{server=\"%s\"} %" G_GUINT64_FORMAT ".%0*u\n", times[i].metric,
                 server, statistic->value / unit, digits, (guint) (statistic->value % unit));
      return TRUE;
    }
  return FALSE;
}

static void
print_metric (const CliContext *context, const char *server, const CliStatistic *statistic)
{
  const CliStatisticInfo *info = statistic->info;
  g_autofree char *metric
    = g_strdup_printf ("shmkv_%s%s", statistic->name,
                       info->type == CLI_STATISTIC_COUNTER ? "_total" : "");
  g_autofree char *help = g_strdup (info->help);

  if (print_time (context, server, statistic))
    return;
  *help = g_ascii_toupper (*help);
  print_header (context, metric, help, get_type_name (info->type));
  cli_print (context, "%s{server=\"%s\"} %" G_GUINT64_FORMAT "\n", metric, server,
             statistic->value);
}

#define HISTOGRAM "shmkv_service_time_seconds"

static void
print_histogram (const CliContext *context, const char *server, const CliStatistics *statistics)
{
  guint64 n = 0;

  if (statistics->service->len == 0)
    return;
  print_header (context, HISTOGRAM,
                "Time from taking up a batch of requests to its answers, of a sample",
                "histogram");
  for (guint i = 0; i < statistics->service->len; i++)
    {
      const CliServiceCount *count = &g_array_index (statistics->service, CliServiceCount, i);
      char number[G_ASCII_DTOSTR_BUF_SIZE];

      n += count->n;
      if (count->bound_ns == G_MAXUINT64)
        break;
      g_ascii_formatd (number, sizeof number, "%.9g", (double) count->bound_ns / 1e9);
      cli_print (context, HISTOGRAM "_bucket{server=\"%s\",le=\"%s\"} %" G_GUINT64_FORMAT "\n",
                 server, number, n);
    }
  cli_print (context, HISTOGRAM "_bucket{server=\"%s\",le=\"+Inf\"} %" G_GUINT64_FORMAT "\n",
             server, n);
  cli_print (context, HISTOGRAM "_count{server=\"%s\"} %" G_GUINT64_FORMAT "\n", server, n);
}

/* What there is of each session. */
static const struct
{
  const char *column;
  const char *metric;
  const char *help;
  const char *type;
} session_metrics[] = {
  { "client_pid", "shmkv_session_client_pid", "Process ID of the client", "gauge" },
  { "in_use_ms", "shmkv_session_in_use_seconds", "Seconds since the client opened the session",
    "gauge" },
  { "requests", "shmkv_session_requests_total", "Requests of the session", "counter" },
  { "failed", "shmkv_session_failed_requests_total", "Requests of the session that failed",
    "counter" },
  { "bytes_in", "shmkv_session_bytes_in_total", "Bytes of requests of the session", "counter" },
  { "bytes_out", "shmkv_session_bytes_out_total", "Bytes of responses of the session", "counter" },
};

static void
print_session_metric (const CliContext *context, const char *server, guint metric,
                      const GPtrArray *rows, guint column)
{
  const char *name = session_metrics[metric].metric;
  gboolean is_ms = g_str_has_suffix (session_metrics[metric].column, "_ms");

  print_header (context, name, session_metrics[metric].help, session_metrics[metric].type);
  for (guint i = 0; i < rows->len; i++)
    {
      const SessionRow *row = rows->pdata[i];
      guint64 value = get_cell (row, column);

      cli_print (context, "%s{server=\"%s\",session=\"%s\"} ", name, server, row->lane);
      if (is_ms)
        cli_print (context, "%" G_GUINT64_FORMAT ".%03u\n", value / 1000, (guint) (value % 1000));
      else
        cli_print (context, "%" G_GUINT64_FORMAT "\n", value);
    }
}

/* Without what only a later version knows, whose type is not known. */
static void
print_session_metrics (const CliContext *context, const char *server, const ShmkvPairs *sessions)
{
  g_autoptr (GPtrArray) columns = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (free_row);

  collect_rows (sessions, columns, rows);
  for (guint i = 0; i < columns->len; i++)
    {
      for (guint j = 0; j < G_N_ELEMENTS (session_metrics); j++)
        {
          if (g_str_equal (columns->pdata[i], session_metrics[j].column))
            print_session_metric (context, server, j, rows, i);
        }
    }
}

void
cli_stats_print_prometheus (const CliContext *context, const CliStatistics *statistics,
                            const ShmkvPairs *sessions)
{
  const char *server = shmkv_client_get_name (context->client);

  for (guint i = 0; i < statistics->list->len; i++)
    print_metric (context, server, get_statistic (statistics, i));
  print_histogram (context, server, statistics);
  if (sessions != NULL)
    print_session_metrics (context, server, sessions);
}
