/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/help.h"

#include "client/args.h"
#include "client/options.h"

#include <stdio.h>

#define OPTION_WIDTH 26
#define COMMAND_WIDTH 32

static void
print_option (const CliOption *option)
{
  g_autofree char *letter = option->letter != 0 ? g_strdup_printf ("-%c, ", option->letter)
                                                : g_strdup ("    ");
  g_autofree char *left = g_strdup_printf ("  %s--%s%s%s", letter, option->name,
                                           option->argument != NULL ? "=" : "",
                                           option->argument != NULL ? option->argument : "");

  printf ("%-*s  %s\n", OPTION_WIDTH, left, option->help);
}

static void
print_options (const char *title, const CliOption *options)
{
  if (options == NULL)
    return;
  printf ("\n%s:\n", title);
  for (; options->name != NULL; options++)
    {
      if (options->help != NULL)
        print_option (options);
    }
}

static void
print_command_line (const CliCommand *command)
{
  g_autofree char *usage = cli_args_usage (command, TRUE);

  printf ("  %-*s  %s\n", COMMAND_WIDTH, usage, command->summary);
}

static void
print_aliases (const CliCommand *command)
{
  g_autofree char *aliases = g_strjoinv (", ", (char **) command->aliases);

  if (*aliases != '\0')
    printf ("\nAlso called: %s\n", aliases);
}

void
cli_help_print_program (void)
{
  puts ("Usage: shmkv-client [OPTION]... COMMAND [ARGUMENT]...\n"
        "Talk to a shmkv server on this machine through shared memory.\n"
        "\n"
        "Commands:");
  for (const CliCommand *const *at = cli_commands (); *at != NULL; at++)
    print_command_line (*at);
  print_options ("Options, before or after the command", cli_global_options ());
  puts ("\n"
        "A key or value that is a number, decimal or hexadecimal after 0x, is an integer\n"
        "from 0 to 18446744073709551615; anything else is a byte string.  The integer 5\n"
        "and the string \"5\", for which there is --string, are different keys.\n"
        "\n"
        "Exit status: 0 done; 1 no such key, a condition that is not met, or a wrong\n"
        "answer in a test; 2 wrong usage; 3 no server to attach to; 4 no answer in time;\n"
        "5 the server refused or failed.\n"
        "\n"
        "'shmkv-client COMMAND --help' tells more about a command.");
}

void
cli_help_print_command (const CliCommand *command)
{
  g_autofree char *usage = cli_args_usage (command, TRUE);

  printf ("Usage: shmkv-client [OPTION]... %s\n%s.\n", usage, command->summary);
  if (command->description != NULL)
    printf ("\n%s\n", command->description);
  print_aliases (command);
  print_options ("Options", command->options);
  print_options ("Global options", cli_global_options ());
}

void
cli_help_print_version (void)
{
  puts ("shmkv-client (" PACKAGE_NAME ") " PACKAGE_VERSION "\n"
        "Copyright (C) The shmkv authors.\n"
        "License LGPL-2.1-or-later: GNU LGPL version 2.1 or later\n"
        "<https://www.gnu.org/licenses/old-licenses/lgpl-2.1.html>.\n"
        "This is free software: you are free to change and redistribute it.\n"
        "There is NO WARRANTY, to the extent permitted by law.");
}

void
cli_help_print_command_list (void)
{
  for (const CliCommand *const *at = cli_commands (); *at != NULL; at++)
    puts ((*at)->name);
}
