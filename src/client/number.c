/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/number.h"

#include "client/cli.h"

#include <math.h>
#include <string.h>

/* A longer wait is not worth an overflow; "inf" is there for it. */
#define SECONDS_MAX 1e9

static gboolean
refuse (const char *what, const char *text, const char *why, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s '%.100s' %s", what, text, why);
  return FALSE;
}

static gboolean
refuse_range (const char *what, const char *text, const char *how, const char *bound,
              guint64 number, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "%s '%.100s' is too %s; the %s is %" G_GUINT64_FORMAT, what, text, how, bound,
               number);
  return FALSE;
}

/* What g_ascii_string_to_unsigned() would accept or reject without saying
 * clearly why. */
static gboolean
check_beginning (const char *what, const char *text, GError **error)
{
  if (*text == '\0')
    return refuse (what, text, "is empty; it must be a number", error);
  if ((*text == '-' || *text == '+') && g_ascii_isdigit (text[1]))
    return refuse (what, text, "has a sign; only numbers without one are possible", error);
  return TRUE;
}

gboolean
cli_number_parse (const char *what, const char *text, guint64 min, guint64 max,
                  guint64 *number_out, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  guint64 number;

  if (!check_beginning (what, text, error))
    return FALSE;
  if (!g_ascii_string_to_unsigned (hex ? text + 2 : text, hex ? 16 : 10, 0, G_MAXUINT64, &number,
                                   &local))
    {
      if (g_error_matches (local, G_NUMBER_PARSER_ERROR, G_NUMBER_PARSER_ERROR_OUT_OF_BOUNDS))
        return refuse_range (what, text, "large", "largest", max, error);
      return refuse (what, text, "is not a number", error);
    }
  if (number > max)
    return refuse_range (what, text, "large", "largest", max, error);
  if (number < min)
    return refuse_range (what, text, "small", "smallest", min, error);

  *number_out = number;
  return TRUE;
}

gboolean
cli_seconds_parse (const char *what, const char *text, gboolean zero_too, double *seconds_out,
                   GError **error)
{
  double seconds;
  char *end;

  if (g_str_equal (text, "inf"))
    {
      *seconds_out = INFINITY;
      return TRUE;
    }
  if (*text == '\0')
    return refuse (what, text, "is empty; it must be a number of seconds", error);

  /* g_ascii_strtod() also takes spaces, hexadecimal, "nan" and "infinity". */
  seconds = g_ascii_strtod (text, &end);
  if (*end != '\0' || end == text || text[strspn (text, "+-.0123456789eE")] != '\0')
    return refuse (what, text, "is not a number of seconds", error);
  if (zero_too ? signbit (seconds) : !(seconds > 0))
    return refuse (what, text, zero_too ? "is less than 0 seconds" : "is not more than 0 seconds",
                   error);
  if (seconds > SECONDS_MAX)
    return refuse (what, text, "is too long; use 'inf' to wait for ever", error);

  *seconds_out = seconds;
  return TRUE;
}

gint64
cli_seconds_to_usec (double seconds)
{
  return isinf (seconds) ? -1 : (gint64) ceil (seconds * G_USEC_PER_SEC);
}
