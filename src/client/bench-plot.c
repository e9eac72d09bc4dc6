/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-plot.h"

#include "client/output.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static gboolean
refuse_file (const char *file, int why, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot write to %s: %s", file,
               g_strerror (why));
  return FALSE;
}

gboolean
cli_bench_can_write (const char *file, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (file);

  if (g_file_test (file, G_FILE_TEST_IS_DIR))
    return refuse_file (file, EISDIR, error);
  if (g_access (file, F_OK) == 0 ? g_access (file, W_OK) == 0
                                 : g_access (directory, W_OK | X_OK) == 0)
    return TRUE;
  return refuse_file (file, errno, error);
}

/* ------------------------------------------------------------------ gnuplot */

gboolean
cli_bench_plot_check_name (const char *file, GError **error)
{
  if (g_str_has_suffix (file, ".svg") || g_str_has_suffix (file, ".png"))
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "cannot plot to '%.100s'; give --plot=FILE.svg, --plot=FILE.png or --plot=text",
               file);
  return FALSE;
}

gboolean
cli_bench_plot_can_draw (const char *file, GError **error)
{
  g_autofree char *program = g_find_program_in_path ("gnuplot");

  if (program != NULL)
    return cli_bench_can_write (file, error);
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED,
               "cannot draw %s: there is no gnuplot here; install it (on Debian and Ubuntu the "
               "package gnuplot-nox), or give --plot=text",
               file);
  return FALSE;
}

/* In the quotes of gnuplot. */
static void
append_quoted (GString *script, const char *text)
{
  g_string_append_c (script, '\'');
  for (; *text != '\0'; text++)
    g_string_append_printf (script, "%s%c", *text == '\'' ? "'" : "", *text);
  g_string_append_c (script, '\'');
}

static void
append_number (GString *script, double number)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append (script, g_ascii_formatd (text, sizeof text, "%.6g", number));
}

/* From 1 / (1 - percentile); the greatest value is one of so many. */
static double
get_x (const CliPercentile *line)
{
  return line->percentile < 1 ? 1 / (1 - line->percentile) : (double) line->n;
}

static void
append_data (GString *script, const CliHistogram *latency)
{
  g_autoptr (GArray) lines = cli_histogram_percentiles (latency);

  g_string_append (script, "$data << EOD\n");
  for (guint i = 0; i < lines->len; i++)
    {
      const CliPercentile *line = &g_array_index (lines, CliPercentile, i);

      append_number (script, get_x (line));
      g_string_append_c (script, ' ');
      append_number (script, (double) MAX (line->value, 1) / 1e3);
      g_string_append_c (script, '\n');
    }
  g_string_append (script, "EOD\n");
}

static GString *
make_script (const char *file, const char *title, const CliHistogram *latency)
{
  GString *script = g_string_new (NULL);

  if (g_str_has_suffix (file, ".svg"))
    g_string_append (script, "set terminal svg size 900,540 background 'white'\n");
  else
    g_string_append (script,
                     "if (strstrt (GPVAL_TERMINALS, ' pngcairo ') > 0) {\n"
                     "  set terminal pngcairo size 900,540\n"
                     "} else {\n"
                     "  set terminal png size 900,540\n"
                     "}\n");
  g_string_append (script, "set output ");
  append_quoted (script, file);
  g_string_append (script, "\nset title ");
  append_quoted (script, title);
  g_string_append (script,
                   " noenhanced\n"
                   "set logscale xy\n"
                   "set xlabel 'percentile'\n"
                   "set ylabel 'latency, us'\n"
                   "set xtics ('0 %%' 1, '50 %%' 2, '90 %%' 10, '99 %%' 100, '99.9 %%' 1000, "
                   "'99.99 %%' 1e4, '99.999 %%' 1e5, '99.9999 %%' 1e6, '99.99999 %%' 1e7)\n"
                   "set rmargin 6\n"
                   "set grid\n"
                   "unset key\n");
  append_data (script, latency);
  g_string_append (script, "plot $data using 1:2 with lines linewidth 2\n");
  return script;
}

static gboolean
run_gnuplot (const char *script_file, const char *file, GError **error)
{
  const char *argv[] = { "gnuplot", script_file, NULL };
  g_autofree char *said = NULL;
  g_autoptr (GError) local = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                     NULL, NULL, NULL, &said, &status, &local))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot run gnuplot: %s", local->message);
      return FALSE;
    }
  if (status == 0)
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "gnuplot could not draw %s: %s", file,
               g_strstrip (said));
  return FALSE;
}

gboolean
cli_bench_plot_draw (const char *file, const char *title, const CliHistogram *latency,
                     GError **error)
{
  g_autoptr (GString) script = NULL;
  g_autofree char *script_file = NULL;
  g_autoptr (GError) local = NULL;
  gboolean done;
  int fd = g_file_open_tmp ("shmkv-bench-XXXXXX", &script_file, &local);

  if (fd < 0)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED, local->message);
      return FALSE;
    }
  script = make_script (file, title, latency);
  if (write (fd, script->str, script->len) == (gssize) script->len)
    done = run_gnuplot (script_file, file, error);
  else
    done = refuse_file (script_file, errno, error);
  close (fd);
  g_unlink (script_file);
  return done;
}

/* --------------------------------------------------------------------- text */

#define PLOT_WIDTH 50

static void
print_bar (const CliContext *context, const char *name, guint64 value, guint64 least, guint64 most)
{
  double span = log2 ((double) most / (double) least);
  double part = span > 0 ? log2 ((double) value / (double) least) / span : 0;
  char bar[PLOT_WIDTH + 1];
  guint length = 1 + (guint) (CLAMP (part, 0, 1) * (PLOT_WIDTH - 1) + 0.5);

  memset (bar, '#', length);
  bar[length] = '\0';
  cli_print (context, "%10s %12.2f |%s\n", name, (double) value / 1e3, bar);
}

void
cli_bench_plot_print (const CliContext *context, const CliHistogram *latency)
{
  static const struct
  {
    const char *name;
    double q;
  } rows[] = {
    { "p0", 0 },          { "p25", 0.25 },      { "p50", 0.5 },        { "p75", 0.75 },
    { "p90", 0.9 },       { "p95", 0.95 },      { "p99", 0.99 },       { "p99.5", 0.995 },
    { "p99.9", 0.999 },   { "p99.95", 0.9995 }, { "p99.99", 0.9999 },  { "p99.999", 0.99999 },
    { "p99.9999", 0.999999 },
  };
  guint64 least = MAX (cli_histogram_quantile (latency, 0), 1);
  guint64 most = MAX (latency->max, least);

  if (latency->n == 0)
    return;
  cli_print (context, "percentile   latency/us  (the bars are logarithmic)\n");
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      /* Beyond that, it is the greatest one. */
      if ((1 - rows[i].q) * (double) latency->n < 1)
        break;
      print_bar (context, rows[i].name, MAX (cli_histogram_quantile (latency, rows[i].q), least),
                 least, most);
    }
  print_bar (context, "max", most, least, most);
}

/* ------------------------------------------------------------- HdrHistogram */

static void
append_lines (GString *text, const CliHistogram *latency)
{
  g_autoptr (GArray) lines = cli_histogram_percentiles (latency);

  for (guint i = 0; i < lines->len; i++)
    {
      const CliPercentile *line = &g_array_index (lines, CliPercentile, i);

      g_string_append_printf (text, "%12.3f %2.12f %10" G_GUINT64_FORMAT,
                              (double) line->value / 1e3, line->percentile, line->n);
      if (line->percentile < 1)
        g_string_append_printf (text, " %14.2f", 1 / (1 - line->percentile));
      g_string_append_c (text, '\n');
    }
}

gboolean
cli_bench_plot_write_hgrm (const char *file, const CliHistogram *latency, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  FILE *stream = fopen (file, "we");
  gboolean written;

  if (stream == NULL)
    return refuse_file (file, errno, error);
  g_string_append_printf (text, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
                          "1/(1-Percentile)");
  if (latency->n > 0)
    append_lines (text, latency);
  g_string_append_printf (text,
                          "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n"
                          "#[Max     = %12.3f, Total count    = %12" G_GUINT64_FORMAT "]\n"
                          "#[Buckets = %12u, SubBuckets     = %12u]\n",
                          cli_histogram_mean (latency) / 1e3,
                          cli_histogram_deviation (latency) / 1e3, (double) latency->max / 1e3,
                          latency->n, CLI_HISTOGRAM_SIZE / CLI_HISTOGRAM_STEPS,
                          2 * CLI_HISTOGRAM_STEPS);
  written = fwrite (text->str, 1, text->len, stream) == text->len;
  if (fclose (stream) != 0 || !written)
    return refuse_file (file, errno, error);
  return TRUE;
}
