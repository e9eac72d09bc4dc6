/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every command of shmkv-client sees: its descriptor, the context it runs
 * in, and the exit statuses. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_EXIT_OK = 0,
  CLI_EXIT_NO = 1,         /* no such key, or a wrong answer in a test routine */
  CLI_EXIT_USAGE = 2,
  CLI_EXIT_NO_SERVER = 3,  /* none to attach to */
  CLI_EXIT_TIMEOUT = 4,
  CLI_EXIT_FAILED = 5      /* the server refused or failed, or this program did */
} CliExit;

/* The tool's own errors; everything else that can go wrong is a ShmkvError. */
#define CLI_ERROR (cli_error_quark ())

typedef enum
{
  CLI_ERROR_USAGE,
  CLI_ERROR_FAILED,
  CLI_ERROR_PIPE,          /* nobody reads standard output any more; not to be reported */
  CLI_ERROR_INTERRUPTED    /* by a signal; not to be reported */
} CliError;

GQuark cli_error_quark (void);

/* What the global options say, and the server that they lead to. */
typedef struct
{
  char *name;
  char *owner;             /* the user whose server is trusted; NULL where not given */
  double timeout;          /* seconds; 0 where none was given, infinite allowed */
  gboolean json;
  gboolean quiet;
  gboolean help;
  gboolean version;
  gboolean list_commands;

  ShmkvClient *client;     /* NULL where the command does not need one */
} CliContext;

typedef enum
{
  CLI_OPTION_FLAG,         /* gboolean */
  CLI_OPTION_TEXT,         /* char *, owned */
  CLI_OPTION_NUMBER,       /* guint64 between min and max */
  CLI_OPTION_SECONDS       /* double, greater than 0 */
} CliOptionType;

/* One long option.  Its value goes to `offset` in the structure that the
 * parser is given: the command's own, or CliContext for global options. */
typedef struct
{
  const char *name;
  char letter;
  CliOptionType type;
  gsize offset;
  const char *argument;
  const char *help;        /* NULL hides it */
  guint64 min;
  guint64 max;
} CliOption;

#define CLI_MAX_ARGS 2

/* An argument that a command takes: a number, unless `is_text`. */
typedef struct
{
  const char *name;
  guint64 min;
  gboolean is_text;
  gboolean optional;
} CliArgument;

/* What was given for them: the words, and what they mean. */
typedef struct
{
  const char *text[CLI_MAX_ARGS];   /* NULL for an optional one that was left out */
  guint64 number[CLI_MAX_ARGS];
} CliArgs;

/* A command: shared by the parser, the help and the dispatch. */
typedef struct
{
  const char *name;
  const char *aliases[3];
  CliArgument arguments[CLI_MAX_ARGS];
  const char *summary;     /* one line, for the list of commands */
  const char *description; /* (nullable) more lines for its own help */
  gboolean needs_client;

  /* The operation that one line of a batch asks for by this name, or 0. */
  ShmkvOp batch_op;

  const CliOption *options;      /* (nullable) ends with a name of NULL */
  gconstpointer defaults;        /* (nullable) where the options start from */
  gsize options_size;

  /* (nullable) Looks whether the options fit, before there is a server to talk
   * to.  The error is CLI_ERROR_USAGE. */
  gboolean (*check) (gconstpointer options, GError **error);

  /* Returns the exit status; where it sets `error`, that decides instead. */
  CliExit (*run) (const CliContext *context, const CliArgs *args, gconstpointer options,
                  GError **error);
} CliCommand;

/* All commands in the order of the help; ends with NULL. */
const CliCommand *const *cli_commands (void);

/* By name or alias; NULL where there is none. */
const CliCommand *cli_command_find (const char *name);

/* The whole program: parses `argv`, runs the command, reports what went wrong.
 * Standard output is closed afterwards. */
CliExit cli_main (char **argv);

extern const CliCommand cli_cmd_insert;
extern const CliCommand cli_cmd_read;
extern const CliCommand cli_cmd_delete;
extern const CliCommand cli_cmd_print;
extern const CliCommand cli_cmd_thstart;
extern const CliCommand cli_cmd_thstop;
extern const CliCommand cli_cmd_quit;
extern const CliCommand cli_cmd_ping;
extern const CliCommand cli_cmd_stats;
extern const CliCommand cli_cmd_batch;
extern const CliCommand cli_cmd_test;
extern const CliCommand cli_cmd_bench;

G_END_DECLS
