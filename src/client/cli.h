/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every command of shmkv-client sees: its descriptor, the context it runs
 * in, and the exit statuses. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_EXIT_OK = 0,
  CLI_EXIT_NO = 1,         /* no such key, a condition not met, or wrong answers in test or bench */
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
  CLI_ERROR_TIMEOUT,       /* what was waited for did not happen; the server is well */
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
  gboolean strings;        /* keys and values are byte strings, also where they are digits */
  gboolean string_keys;    /* keys are */
  gboolean string_values;  /* values are */
  gboolean escaped;        /* words may be written as word.h describes it */
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
  CLI_OPTION_SECONDS,      /* double, greater than 0 */
  CLI_OPTION_WAIT          /* double, 0 or greater */
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

#define CLI_MAX_ARGS 3

typedef enum
{
  CLI_ARGUMENT_NUMBER,
  CLI_ARGUMENT_TEXT,
  CLI_ARGUMENT_KEY,
  CLI_ARGUMENT_VALUE,
  CLI_ARGUMENT_PREFIX      /* of a key: a byte string, also where it is digits, or empty */
} CliArgumentType;

/* An argument that a command takes. */
typedef struct
{
  const char *name;
  CliArgumentType type;
  guint64 min;             /* of a number */
  gboolean optional;
} CliArgument;

/* What was given for one: the word, and what it means. */
typedef struct
{
  const char *text;
  guint64 number;          /* CLI_ARGUMENT_NUMBER */
  ShmkvDatum datum;        /* _KEY, _VALUE and _PREFIX; points into the word */
  gboolean quoted;         /* the word stood in quotes, see word.h */
} CliArg;

typedef struct
{
  CliArg *list;
  guint n;
} CliArgs;

/* The text of argument `index`; NULL where it was left out. */
static inline const char *
cli_args_get_text (const CliArgs *args, guint index)
{
  return index < args->n ? args->list[index].text : NULL;
}

/* A command: shared by the parser, the help and the dispatch. */
typedef struct
{
  const char *name;
  const char *aliases[3];
  CliArgument arguments[CLI_MAX_ARGS];
  guint n_repeated;        /* how many at the end may come again and again */
  gboolean ends_options;   /* what follows the first argument are no options of ours */
  const char *summary;     /* one line, for the list of commands */
  const char *description; /* (nullable) more lines for its own help */
  gboolean needs_client;

  /* (nullable) Makes the request that one line of a batch asks for by this name.
   * It points to where `args` do.  The error is CLI_ERROR_USAGE. */
  gboolean (*make_request) (const CliArgs *args, ShmkvRequest *request_out, GError **error);

  const CliOption *options;      /* (nullable) ends with a name of NULL */
  gconstpointer defaults;        /* (nullable) where the options start from */
  gsize options_size;
  gboolean has_conditions;       /* they are a CliConditions: lines of a batch take them too */

  /* (nullable) Looks whether the options and arguments fit, before there is a
   * server to talk to.  The error is CLI_ERROR_USAGE. */
  gboolean (*check) (const CliContext *context, const CliArgs *args, gconstpointer options,
                     GError **error);

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
extern const CliCommand cli_cmd_add;
extern const CliCommand cli_cmd_subtract;
extern const CliCommand cli_cmd_exchange;
extern const CliCommand cli_cmd_cas;
extern const CliCommand cli_cmd_expire;
extern const CliCommand cli_cmd_ttl;
extern const CliCommand cli_cmd_wait;
extern const CliCommand cli_cmd_watch;
extern const CliCommand cli_cmd_lock;
extern const CliCommand cli_cmd_count;
extern const CliCommand cli_cmd_scan;
extern const CliCommand cli_cmd_clear;
extern const CliCommand cli_cmd_dump;
extern const CliCommand cli_cmd_load;
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
