/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How shmkv-client understands what it is told, and how it prints: all that needs
 * no server. */

#include "config.h"

#include "client/args.h"
#include "client/batch-line.h"
#include "client/cli.h"
#include "client/json.h"
#include "client/lines.h"
#include "client/number.h"
#include "client/options.h"
#include "client/output.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void
assert_usage_error (GError *error, const char *fragment)
{
  g_assert_error (error, CLI_ERROR, CLI_ERROR_USAGE);
  if (strstr (error->message, fragment) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, fragment);
  g_error_free (error);
}

/* ------------------------------------------------------------------ numbers */

static void
test_number_accepts (void)
{
  static const struct
  {
    const char *text;
    guint64 number;
  } cases[] = {
    { "0", 0 },
    { "007", 7 },
    { "9223372036854775808", G_GUINT64_CONSTANT (9223372036854775808) },
    { "18446744073709551615", G_MAXUINT64 },
    { "0xff", 255 },
    { "0XFFFFFFFFFFFFFFFF", G_MAXUINT64 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      guint64 number = 42;

      g_assert_true (cli_number_parse ("KEY", cases[i].text, 0, G_MAXUINT64, &number, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (number, ==, cases[i].number);
    }
}

static void
test_number_rejects (void)
{
  static const struct
  {
    const char *text;
    const char *fragment;
  } cases[] = {
    { "", "is empty" },
    { "-5", "has a sign" },
    { "+5", "has a sign" },
    { "-", "is not a number" },
    { " 5", "is not a number" },
    { "5 ", "is not a number" },
    { "5x", "is not a number" },
    { "five", "is not a number" },
    { "1e3", "is not a number" },
    { "0x", "is not a number" },
    { "0x0x5", "is not a number" },
    { "0x-5", "is not a number" },
    { "18446744073709551616", "too large; the largest is 1000" },
    { "99999999999999999999999999", "too large" },
    { "0x10000000000000000", "too large" },
    { "1001", "too large; the largest is 1000" },
    { "9", "too small; the smallest is 10" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      GError *error = NULL;
      guint64 number = 42;

      g_assert_false (cli_number_parse ("KEY", cases[i].text, 10, 1000, &number, &error));
      g_assert_true (g_str_has_prefix (error->message, "KEY '"));
      assert_usage_error (error, cases[i].fragment);
      g_assert_cmpuint (number, ==, 42);
    }
}

static void
test_seconds (void)
{
  static const char *const bad[] = { "",  "x",  "0",   "-1",   "0.0",  "nan", "infinity",
                                     "5s", " 5", "1e99", "0x10", "-inf", "." };
  double seconds = 0;

  g_assert_true (cli_seconds_parse ("--timeout", "0.25", &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, 250000);
  g_assert_true (cli_seconds_parse ("--timeout", "1e-9", &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, 1);
  g_assert_true (cli_seconds_parse ("--timeout", "inf", &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, -1);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      GError *error = NULL;

      g_assert_false (cli_seconds_parse ("--timeout", bad[i], &seconds, &error));
      assert_usage_error (error, "--timeout");
    }
}

/* -------------------------------------------------------------------- lines */

static gboolean
parse_line (const char *text, gboolean *wanted_out, ShmkvRequest *request_out, GError **error)
{
  g_autofree char *line = g_strdup (text);

  return cli_batch_line_parse (line, strlen (line), wanted_out, request_out, error);
}

static void
test_batch_line_accepts (void)
{
  static const struct
  {
    const char *text;
    ShmkvRequest request;
  } cases[] = {
    { "insert 5 7", { SHMKV_OP_INSERT, 0, 5, 7 } },
    { "set 5 0xff", { SHMKV_OP_INSERT, 0, 5, 255 } },
    { "\t put  18446744073709551615 0 \r", { SHMKV_OP_INSERT, 0, G_MAXUINT64, 0 } },
    { "read 5", { SHMKV_OP_READ, 0, 5 } },
    { "get 5", { SHMKV_OP_READ, 0, 5 } },
    { "delete 5", { SHMKV_OP_DELETE, 0, 5 } },
    { "del 5", { SHMKV_OP_DELETE, 0, 5 } },
    { "rm 5", { SHMKV_OP_DELETE, 0, 5 } },
    { "thstart 2", { SHMKV_OP_START_WORKERS, 0, 2 } },
    { "thstop", { SHMKV_OP_STOP_WORKER } },
    { "ping", { SHMKV_OP_PING } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      ShmkvRequest request;
      gboolean wanted;

      g_assert_true (parse_line (cases[i].text, &wanted, &request, &error));
      g_assert_no_error (error);
      g_assert_true (wanted);
      g_assert_cmpint (request.op, ==, cases[i].request.op);
      g_assert_cmpuint (request.key, ==, cases[i].request.key);
      g_assert_cmpuint (request.value, ==, cases[i].request.value);
      g_assert_cmpint (request.flags, ==, SHMKV_FLAG_NONE);
    }
}

static void
test_batch_line_skips (void)
{
  static const char *const cases[] = { "", "   ", "\t\r", "# comment", "  #insert 5 7", "#" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      ShmkvRequest request;
      gboolean wanted = TRUE;

      g_assert_true (parse_line (cases[i], &wanted, &request, NULL));
      g_assert_false (wanted);
    }
}

static void
test_batch_line_rejects (void)
{
  static const struct
  {
    const char *text;
    const char *fragment;
  } cases[] = {
    { "frobnicate 5", "there is no operation 'frobnicate'" },
    { "INSERT 5 7", "there is no operation 'INSERT'" },
    { "quit", "there is no operation 'quit'" },
    { "batch x", "there is no operation 'batch'" },
    { "insert 5", "an argument is missing; the usage is: insert KEY VALUE" },
    { "read", "an argument is missing" },
    { "read 5 6", "'6' is too much; the usage is: read KEY" },
    { "insert 1 2 3 4 5 6 7", "'3' is too much" },
    { "thstop 1", "'1' is too much" },
    { "insert x 7", "KEY 'x' is not a number" },
    { "insert 5 -7", "VALUE '-7' has a sign" },
    { "thstart 0", "N '0' is too small" },
  };
  char zero[] = "read\0 5";

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      GError *error = NULL;
      ShmkvRequest request;
      gboolean wanted;

      g_assert_false (parse_line (cases[i].text, &wanted, &request, &error));
      assert_usage_error (error, cases[i].fragment);
    }
  {
    GError *error = NULL;
    ShmkvRequest request;
    gboolean wanted;

    g_assert_false (cli_batch_line_parse (zero, sizeof zero - 1, &wanted, &request, &error));
    assert_usage_error (error, "zero byte");
  }
}

/* A file with `length` bytes of `contents`, opened and removed. */
static CliLines *
open_lines (const char *contents, gssize length)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  CliLines *lines;
  int fd = g_file_open_tmp ("shmkv-lines-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  g_assert_true (g_file_set_contents (path, contents, length, NULL));
  lines = cli_lines_open (path, &error);
  g_assert_no_error (error);
  unlink (path);
  return lines;
}

static void
assert_line (CliLines *lines, const char *expected)
{
  g_autoptr (GError) error = NULL;
  char *line;
  gsize length = 0;

  g_assert_true (cli_lines_ready (lines));
  g_assert_true (cli_lines_next (lines, &line, &length, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (line, ==, expected);
  if (expected != NULL)
    g_assert_cmpuint (length, ==, strlen (expected));
}

static void
test_lines_file (void)
{
  g_autoptr (CliLines) lines = open_lines ("one\n\ntwo\nlast", -1);
  g_autoptr (CliLines) empty = open_lines ("", 0);

  assert_line (lines, "one");
  assert_line (lines, "");
  assert_line (lines, "two");
  assert_line (lines, "last");
  g_assert_cmpuint (cli_lines_get_number (lines), ==, 4);
  assert_line (lines, NULL);
  assert_line (lines, NULL);
  assert_line (empty, NULL);
}

/* Longer than the buffer, so that lines lie across its end. */
static void
test_lines_many (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (CliLines) lines = NULL;

  for (guint i = 0; i < 50000; i++)
    g_string_append_printf (text, "line %u\n", i);
  lines = open_lines (text->str, text->len);
  for (guint i = 0; i < 50000; i++)
    {
      g_autofree char *expected = g_strdup_printf ("line %u", i);

      assert_line (lines, expected);
    }
  assert_line (lines, NULL);
}

static void
test_lines_long (void)
{
  g_autofree char *text = g_malloc (2 * CLI_LINE_MAX + 2);
  g_autoptr (CliLines) lines = NULL;
  GError *error = NULL;
  char *line;
  gsize length;

  memset (text, 'x', 2 * CLI_LINE_MAX + 2);
  text[CLI_LINE_MAX] = '\n';
  lines = open_lines (text, 2 * CLI_LINE_MAX + 2);
  g_assert_true (cli_lines_next (lines, &line, &length, &error));
  g_assert_cmpuint (length, ==, CLI_LINE_MAX);
  g_assert_false (cli_lines_next (lines, &line, &length, &error));
  g_assert_cmpuint (cli_lines_get_number (lines), ==, 2);
  assert_usage_error (error, "longer than");
}

static void
test_lines_ready (void)
{
  g_autoptr (CliLines) lines = NULL;
  g_autofree char *path = NULL;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  path = g_strdup_printf ("/proc/self/fd/%d", fds[0]);
  lines = cli_lines_open (path, NULL);
  if (lines == NULL)
    {
      g_test_skip ("there is no /proc");
      return;
    }

  g_assert_false (cli_lines_ready (lines));
  g_assert_cmpint (write (fds[1], "read", 4), ==, 4);
  g_assert_false (cli_lines_ready (lines));
  g_assert_cmpint (write (fds[1], " 5\nre", 5), ==, 5);
  assert_line (lines, "read 5");
  g_assert_false (cli_lines_ready (lines));
  close (fds[1]);
  close (fds[0]);
  assert_line (lines, "re");
  assert_line (lines, NULL);
}

static void
test_lines_errors (void)
{
  GError *error = NULL;
  g_autoptr (CliLines) directory = NULL;
  char *line;
  gsize length;

  g_assert_null (cli_lines_open ("/nonexistent/file", &error));
  g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
  g_clear_error (&error);

  directory = cli_lines_open ("/", &error);
  g_assert_no_error (error);
  g_assert_true (cli_lines_ready (directory));
  g_assert_false (cli_lines_next (directory, &line, &length, &error));
  g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
  g_clear_error (&error);
}

/* --------------------------------------------------------------------- text */

static ShmkvDatum
bytes_datum (const char *bytes, gsize length)
{
  return (ShmkvDatum) {
    .kind = SHMKV_KIND_BYTES, .bytes = (const guint8 *) bytes, .length = length
  };
}

static void
test_json (void)
{
  const ShmkvDatum integer = { .kind = SHMKV_KIND_INTEGER, .integer = G_MAXUINT64 };
  const ShmkvDatum text = bytes_datum ("\303\244", 2);
  const ShmkvDatum binary = bytes_datum ("\377\001", 2);
  const ShmkvDatum none = { .kind = SHMKV_KIND_NONE };
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_unsigned (line, "u", G_MAXUINT64);
  cli_json_add_fixed (line, "f", 1.5, 3);
  cli_json_add_fixed (line, "inf", INFINITY, 3);
  cli_json_add_boolean (line, "t", TRUE);
  cli_json_add_boolean (line, "n", FALSE);
  cli_json_add_string (line, "s\"", "a\\b\"c\n\t\001{");
  cli_json_add_datum (line, "i", &integer);
  cli_json_add_datum (line, "x", &text);
  cli_json_add_datum (line, "b", &binary);
  cli_json_add_datum (line, "0", &none);
  cli_json_close (line);
  g_assert_cmpstr (line->str, ==,
                   "{\"u\":18446744073709551615,\"f\":1.500,\"inf\":null,\"t\":true,\"n\":false,"
                   "\"s\\\"\":\"a\\\\b\\\"c\\u000a\\u0009\\u0001{\","
                   "\"i\":18446744073709551615,\"x\":\"\303\244\",\"b\":{\"hex\":\"ff01\"},"
                   "\"0\":null}\n");
}

static void
test_text (void)
{
  const ShmkvDatum integer = { .kind = SHMKV_KIND_INTEGER, .integer = G_MAXUINT64 };
  const ShmkvDatum bytes = bytes_datum ("a b\"\\\n\377", 7);
  g_autoptr (GString) text = g_string_new (NULL);

  cli_text_append_datum (text, &integer);
  cli_text_append_datum (text, &bytes);
  g_assert_cmpstr (text->str, ==, "18446744073709551615\"a b\\22\\5c\\0a\\ff\"");
}

/* ------------------------------------------------------ commands and options */

static void
test_commands (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (const CliCommand *const *at = cli_commands (); *at != NULL; at++)
    {
      const CliCommand *command = *at;

      g_assert_true (cli_command_find (command->name) == command);
      g_assert_true (g_hash_table_add (names, (char *) command->name));
      for (guint i = 0; command->aliases[i] != NULL; i++)
        {
          g_assert_true (cli_command_find (command->aliases[i]) == command);
          g_assert_true (g_hash_table_add (names, (char *) command->aliases[i]));
        }
      g_assert_cmpuint (strlen (command->summary), <, 50);
      g_assert_nonnull (command->run);
      g_assert_true ((command->options == NULL) == (command->defaults == NULL));
    }
  g_assert_null (cli_command_find ("nonsense"));
  g_assert_null (cli_command_find (""));
}

static gboolean
parse_options (const char *words, CliContext *context, char ***rest_out, GError **error)
{
  *rest_out = g_strsplit (words, " ", -1);
  return cli_options_parse (rest_out, context, NULL, NULL, error);
}

static void
test_options_global (void)
{
  CliContext context = { 0 };
  g_auto (GStrv) rest = NULL;

  g_assert_true (parse_options ("prog --name=a --json -n b --timeout 0.5 read --quiet 5", &context,
                                &rest, NULL));
  g_assert_cmpstr (context.name, ==, "b");
  g_assert_true (context.json);
  g_assert_false (context.quiet);
  g_assert_cmpfloat (context.timeout, ==, 0.5);
  g_assert_cmpstr (rest[1], ==, "read");
  g_assert_cmpstr (rest[2], ==, "--quiet");
  cli_options_clear (cli_global_options (), &context);
}

static void
test_options_command (void)
{
  const CliCommand *command = cli_command_find ("batch");
  g_autofree gpointer values = g_memdup2 (command->defaults, command->options_size);
  g_auto (GStrv) args = g_strsplit ("batch file --window=9 --quiet --strict", " ", -1);
  CliContext context = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (cli_options_parse (&args, &context, command, values, &error));
  g_assert_no_error (error);
  g_assert_true (context.quiet);
  g_assert_cmpstr (args[1], ==, "file");
  g_assert_null (args[2]);
  for (const CliOption *option = command->options; option->name != NULL; option++)
    {
      if (g_str_equal (option->name, "window"))
        g_assert_cmpuint (*(guint64 *) G_STRUCT_MEMBER_P (values, option->offset), ==, 9);
      else
        g_assert_true (*(gboolean *) G_STRUCT_MEMBER_P (values, option->offset));
    }
}

static void
test_options_bad (void)
{
  static const struct
  {
    const char *words;
    const char *fragment;
  } cases[] = {
    { "prog --nonsense", "--nonsense" },
    { "prog --timeout", "--timeout" },
    { "prog --timeout=-1", "not more than 0" },
    { "prog --timeout=0", "not more than 0" },
    { "prog -5", "has a sign" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      CliContext context = { 0 };
      g_auto (GStrv) rest = NULL;
      GError *error = NULL;

      g_assert_false (parse_options (cases[i].words, &context, &rest, &error));
      assert_usage_error (error, cases[i].fragment);
      cli_options_clear (cli_global_options (), &context);
    }
}

static void
test_args_usage (void)
{
  g_autofree char *insert = cli_args_usage (cli_command_find ("set"));
  g_autofree char *batch = cli_args_usage (cli_command_find ("batch"));
  g_autofree char *ping = cli_args_usage (cli_command_find ("ping"));

  g_assert_cmpstr (insert, ==, "insert KEY VALUE");
  g_assert_cmpstr (batch, ==, "batch [FILE]");
  g_assert_cmpstr (ping, ==, "ping");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client/number/accepts", test_number_accepts);
  g_test_add_func ("/client/number/rejects", test_number_rejects);
  g_test_add_func ("/client/number/seconds", test_seconds);
  g_test_add_func ("/client/batch-line/accepts", test_batch_line_accepts);
  g_test_add_func ("/client/batch-line/skips", test_batch_line_skips);
  g_test_add_func ("/client/batch-line/rejects", test_batch_line_rejects);
  g_test_add_func ("/client/lines/file", test_lines_file);
  g_test_add_func ("/client/lines/many", test_lines_many);
  g_test_add_func ("/client/lines/long", test_lines_long);
  g_test_add_func ("/client/lines/ready", test_lines_ready);
  g_test_add_func ("/client/lines/errors", test_lines_errors);
  g_test_add_func ("/client/output/json", test_json);
  g_test_add_func ("/client/output/text", test_text);
  g_test_add_func ("/client/commands", test_commands);
  g_test_add_func ("/client/options/global", test_options_global);
  g_test_add_func ("/client/options/command", test_options_command);
  g_test_add_func ("/client/options/bad", test_options_bad);
  g_test_add_func ("/client/args/usage", test_args_usage);
  return g_test_run ();
}
