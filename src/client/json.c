/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/json.h"

#include <math.h>
#include <string.h>

/* `text` is valid UTF-8.  Only what JSON demands is escaped. */
static void
append_quoted (GString *line, const char *text, gsize length)
{
  g_string_append_c (line, '"');
  for (gsize i = 0; i < length; i++)
    {
      guchar c = text[i];

      if (c == '"' || c == '\\')
        g_string_append_printf (line, "\\%c", c);
      else if (c < 0x20)
        g_string_append_printf (line, "\\u%04x", c);
      else
        g_string_append_c (line, c);
    }
  g_string_append_c (line, '"');
}

static void
append_name (GString *line, const char *name)
{
  if (line->str[line->len - 1] != '{')
    g_string_append_c (line, ',');
  append_quoted (line, name, strlen (name));
  g_string_append_c (line, ':');
}

void
cli_json_open (GString *line)
{
  g_string_append_c (line, '{');
}

void
cli_json_add_unsigned (GString *line, const char *name, guint64 value)
{
  append_name (line, name);
  g_string_append_printf (line, "%" G_GUINT64_FORMAT, value);
}

void
cli_json_add_fixed (GString *line, const char *name, double value, guint decimals)
{
  char format[16], number[400];

  append_name (line, name);
  if (!isfinite (value))
    {
      g_string_append (line, "null");
      return;
    }
  g_snprintf (format, sizeof format, "%%.%uf", decimals);
  g_string_append (line, g_ascii_formatd (number, sizeof number, format, value));
}

void
cli_json_add_boolean (GString *line, const char *name, gboolean value)
{
  append_name (line, name);
  g_string_append (line, value ? "true" : "false");
}

void
cli_json_add_string (GString *line, const char *name, const char *value)
{
  append_name (line, name);
  append_quoted (line, value, strlen (value));
}

static void
append_bytes (GString *line, const guint8 *bytes, gsize length)
{
  if (g_utf8_validate_len ((const char *) bytes, length, NULL))
    {
      append_quoted (line, (const char *) bytes, length);
      return;
    }
  g_string_append (line, "{\"hex\":\"");
  for (gsize i = 0; i < length; i++)
    g_string_append_printf (line, "%02x", bytes[i]);
  g_string_append (line, "\"}");
}

void
cli_json_add_datum (GString *line, const char *name, const ShmkvDatum *value)
{
  if (value->kind == SHMKV_KIND_INTEGER)
    {
      cli_json_add_unsigned (line, name, value->integer);
      return;
    }
  append_name (line, name);
  if (value->kind == SHMKV_KIND_BYTES)
    append_bytes (line, value->bytes, value->length);
  else
    g_string_append (line, "null");
}

void
cli_json_close (GString *line)
{
  g_string_append (line, "}\n");
}
