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
append_base64 (GString *line, const guint8 *bytes, gsize length)
{
  g_autofree char *text = g_base64_encode (bytes, length);

  g_string_append_c (line, '"');
  g_string_append (line, text);
  g_string_append_c (line, '"');
}

/* Returns the kind. */
static const char *
append_datum (GString *line, const ShmkvDatum *value)
{
  if (value->kind == SHMKV_KIND_NONE)
    {
      g_string_append (line, "null");
      return "none";
    }
  if (value->kind == SHMKV_KIND_INTEGER)
    {
      g_string_append_printf (line, "%" G_GUINT64_FORMAT, value->integer);
      return "integer";
    }
  if (g_utf8_validate_len ((const char *) value->bytes, value->length, NULL))
    {
      append_quoted (line, (const char *) value->bytes, value->length);
      return "string";
    }
  append_base64 (line, value->bytes, value->length);
  return "base64";
}

void
cli_json_add_datum (GString *line, const char *name, const ShmkvDatum *value)
{
  g_autofree char *kind_name = g_strconcat (name, "_kind", NULL);
  const char *kind;

  append_name (line, name);
  kind = append_datum (line, value);
  cli_json_add_string (line, kind_name, kind);
}

void
cli_json_close (GString *line)
{
  g_string_append (line, "}\n");
}
