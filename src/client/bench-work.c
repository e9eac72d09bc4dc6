/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workloads A to F are the core workloads of YCSB: Cooper, Silberstein, Tam,
 * Ramakrishnan and Sears, "Benchmarking cloud serving systems with YCSB", SoCC
 * 2010. */

#include "config.h"

#include "client/bench-work.h"

#include "client/cli.h"

static const CliBenchWork ops[] = {
  { "insert", "uniform", { [CLI_BENCH_INSERT] = 100 } },
  { "read", "uniform", { [CLI_BENCH_READ] = 100 } },
  { "delete", "uniform", { [CLI_BENCH_DELETE] = 100 } },
  { "mixed", "uniform", { [CLI_BENCH_READ] = 50, [CLI_BENCH_INSERT] = 50 } },
  { "ping", "uniform", { [CLI_BENCH_PING] = 100 } },
};

static const struct
{
  const char *letter;
  CliBenchWork work;
} workloads[] = {
  { "a", { "ycsb-a", "scrambled:0.99", { [CLI_BENCH_READ] = 50, [CLI_BENCH_INSERT] = 50 } } },
  { "b", { "ycsb-b", "scrambled:0.99", { [CLI_BENCH_READ] = 95, [CLI_BENCH_INSERT] = 5 } } },
  { "c", { "ycsb-c", "scrambled:0.99", { [CLI_BENCH_READ] = 100 } } },
  { "d", { "ycsb-d", "latest:0.99", { [CLI_BENCH_READ] = 95, [CLI_BENCH_APPEND] = 5 } } },
  { "e", { "ycsb-e", "scrambled:0.99", { [CLI_BENCH_SCAN] = 95, [CLI_BENCH_APPEND] = 5 } } },
  { "f", { "ycsb-f", "scrambled:0.99", { [CLI_BENCH_READ] = 50, [CLI_BENCH_MODIFY] = 50 } } },
};

static gboolean
find_op (const char *op, CliBenchWork *work_out, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      if (g_str_equal (op, ops[i].name))
        {
          *work_out = ops[i];
          return TRUE;
        }
    }
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "there is no operation '%s' to measure; insert, read, delete, mixed and ping are "
               "possible",
               op);
  return FALSE;
}

static gboolean
find_workload (const char *workload, CliBenchWork *work_out, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (workloads); i++)
    {
      if (g_ascii_strcasecmp (workload, workloads[i].letter) == 0)
        {
          *work_out = workloads[i].work;
          return TRUE;
        }
    }
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "there is no workload '%s'; a, b, c, d, e and f are possible", workload);
  return FALSE;
}

gboolean
cli_bench_work_parse (const char *op, const char *workload, guint64 reads, CliBenchWork *work_out,
                      GError **error)
{
  if ((op == NULL) == (workload == NULL))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                           op == NULL ? "what to measure? Give --op=OP or --workload=W"
                                      : "--op and --workload do not go together");
      return FALSE;
    }
  if (op != NULL ? !find_op (op, work_out, error) : !find_workload (workload, work_out, error))
    return FALSE;
  if (reads == CLI_BENCH_NO_READS)
    return TRUE;
  if (op == NULL || !g_str_equal (op, "mixed"))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "--reads needs --op=mixed");
      return FALSE;
    }
  work_out->percents[CLI_BENCH_READ] = (guint) reads;
  work_out->percents[CLI_BENCH_INSERT] = 100 - (guint) reads;
  return TRUE;
}

gboolean
cli_bench_work_is_plain (const CliBenchWork *work)
{
  return work->percents[CLI_BENCH_APPEND] == 0 && work->percents[CLI_BENCH_SCAN] == 0
         && work->percents[CLI_BENCH_MODIFY] == 0;
}

gboolean
cli_bench_work_keeps_keys (const CliBenchWork *work)
{
  return work->percents[CLI_BENCH_DELETE] == 0;
}

gboolean
cli_bench_work_has_keys (const CliBenchWork *work)
{
  return work->percents[CLI_BENCH_PING] == 0;
}
