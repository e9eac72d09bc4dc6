/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which names a server can have, and which one is meant. */

#include "config.h"

#include "transport/name.h"
#include "util.h"

#include <shmkv/shmkv.h>

#include <string.h>

static void
test_valid (void)
{
  static const char *const names[] = {
    "a", "Z", "0", "_", "-", "-a", "--", "a.b", "a..b", "a.", "default", "My-server_2.0",
    "x.requests",
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (shmkv_name_is_valid (names[i]));
}

static void
test_invalid (void)
{
  static const char *const names[] = {
    "", ".", "..", ".hidden", "...", "/", "/a", "a/", "a/b", "../a", "a/../b", " ", " a", "a ",
    "a b", "a\n", "\n", "a\tb", "a\x7f", "a\x01", "caf\xc3\xa9", "\xff", "a:b", "a*", "%n", "$a",
    "a\\b", "a\"b", "a'b", "a;b", "~", "a=b", "a,b", "a@b", "a+b", "(a)",
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (shmkv_name_is_valid (names[i]))
      g_error ("\"%s\" is taken for a valid name", names[i]);
}

/* Every byte, alone and behind a letter. */
static void
test_bytes (void)
{
  for (guint byte = 1; byte < 256; byte++)
    {
      const char alone[] = { (char) byte, '\0' }, behind[] = { 'a', (char) byte, '\0' };
      gboolean valid = byte < 128 && strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789-_.", (int) byte) != NULL;

      g_assert_cmpint (shmkv_name_is_valid (behind), ==, valid);
      g_assert_cmpint (shmkv_name_is_valid (alone), ==, valid && byte != '.');
    }
}

static void
test_length (void)
{
  g_assert_cmpint (SHMKV_NAME_MAX, ==, SHMKV_NAME_MAX_LENGTH);
  for (guint length = 1; length < 300; length++)
    {
      g_autofree char *name = g_strnfill (length, 'n');

      g_assert_cmpint (shmkv_name_is_valid (name), ==, length <= SHMKV_NAME_MAX_LENGTH);
    }
}

static void
test_objects (void)
{
  g_autofree char *requests = shmkv_name_requests ("a.b-c");
  g_autofree char *responses = shmkv_name_responses ("a.b-c");

  g_assert_cmpstr (requests, ==, "/shmkv.a.b-c.requests");
  g_assert_cmpstr (responses, ==, "/shmkv.a.b-c.responses");
}

static void
test_resolve (void)
{
  g_assert_cmpstr (SHMKV_NAME_DEFAULT, ==, SHMKV_NAME_FALLBACK);

  g_unsetenv ("SHMKV_NAME");
  g_assert_cmpstr (shmkv_name_resolve (NULL), ==, "default");
  g_assert_cmpstr (shmkv_name_resolve ("given"), ==, "given");

  g_setenv ("SHMKV_NAME", "environment", TRUE);
  g_assert_cmpstr (shmkv_name_resolve (NULL), ==, "environment");
  g_assert_cmpstr (shmkv_name_resolve ("given"), ==, "given");
  g_assert_cmpstr (shmkv_name_resolve (""), ==, "");

  /* Set to nothing is the same as not set. */
  g_setenv ("SHMKV_NAME", "", TRUE);
  g_assert_cmpstr (shmkv_name_resolve (NULL), ==, "default");
  g_unsetenv ("SHMKV_NAME");
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/name/valid", test_valid);
  g_test_add_func ("/name/invalid", test_invalid);
  g_test_add_func ("/name/bytes", test_bytes);
  g_test_add_func ("/name/length", test_length);
  g_test_add_func ("/name/objects", test_objects);
  g_test_add_func ("/name/resolve", test_resolve);
  return util_run ();
}
