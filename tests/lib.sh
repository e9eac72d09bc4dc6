# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash

# What the test scripts share: TAP, running programs, starting servers, waiting
# for events.  A script sources this first and calls `finish' last.
#
# Nothing here waits without a limit, and nothing sleeps for a fixed time and
# hopes: see $patience.  Every server gets a name of its own, test-PID-N, where
# PID is the script's.  What a script started and left running is ended when it
# ends, and whatever then remains in /dev/shm is a failure.

set -u
export LC_ALL=C
unset SHMKV_NAME SHMKV_OWNER NOTIFY_SOCKET G_MESSAGES_DEBUG JOURNAL_STREAM POSIXLY_CORRECT
umask 022

top_srcdir=${TOP_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
top_builddir=${TOP_BUILDDIR:-$PWD}
server=$top_builddir/shmkv-server
client=$top_builddir/shmkv-client
helpers=$top_builddir/tests/helpers

# Seconds that anything may take before it counts as hanging; much more than it
# ever takes, for machines that are slow, busy, or run everything in a sanitizer.
patience=${SHMKV_TEST_PATIENCE:-60}

script=${0##*/}
script_pid=$$
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shmkv-test.XXXXXX") || exit 99

# ---------------------------------------------------------------------- TAP

n_results=0
n_failures=0

# note TEXT...: says something to whoever reads the log.
note ()
{
  printf '%s\n' "$*" | sed 's/^/# /'
}

# ok DESCRIPTION
ok ()
{
  n_results=$((n_results + 1))
  printf 'ok %d - %s\n' "$n_results" "$1"
}

# not_ok DESCRIPTION [TEXT]: TEXT says what is wrong.
not_ok ()
{
  n_results=$((n_results + 1))
  n_failures=$((n_failures + 1))
  printf 'not ok %d - %s\n' "$n_results" "$1"
  if [ -n "${2:-}" ]; then
    note "$2"
  fi
}

# skip DESCRIPTION REASON
skip ()
{
  n_results=$((n_results + 1))
  printf 'ok %d - %s # SKIP %s\n' "$n_results" "$1" "$2"
}

# Whether there are terminals to open: in a bare chroot nobody has mounted them.
has_terminals ()
{
  [ -c /dev/pts/ptmx ]
}

# skip_all REASON: ends the script.
skip_all ()
{
  printf '1..0 # SKIP %s\n' "$*"
  exit 0
}

# bail TEXT: ends the script, where going on makes no sense.
bail ()
{
  not_ok "$1" "${2:-}"
  finish
}

# check DESCRIPTION COMMAND...: passes where the command succeeds, which may be
# a function.
check ()
{
  local description=$1

  shift
  if "$@" >"$tmp/said" 2>&1; then
    ok "$description"
  else
    not_ok "$description" "failed: $*
$(cat "$tmp/said")"
  fi
}

# silent DESCRIPTION COMMAND...: passes where the command, which may be a
# function, prints nothing, such as what is wrong.
silent ()
{
  local description=$1

  shift
  "$@" >"$tmp/said" 2>&1
  if [ ! -s "$tmp/said" ]; then
    ok "$description"
  else
    not_ok "$description" "$(cat "$tmp/said")"
  fi
}

# ----------------------------------------------------------------- programs

# run PROGRAM [ARGUMENT...]: leaves the exit status in $status, and what it
# printed in the files $out and $err.
run ()
{
  command_line=$*
  timeout -k 5 "$patience" "$@" </dev/null >"$out" 2>"$err"
  status=$?
}

out=$tmp/out
err=$tmp/err
status=
command_line=

# client [ARGUMENT...]: runs shmkv-client against the server that was started
# last.
client ()
{
  run "$client" --name="$name" "$@"
}

# What `run' found, for the log.
details ()
{
  printf 'command: %s\nstatus: %s%s\n' "$command_line" "$status" \
    "$([ "$status" != 124 ] || echo ' (it did not end)')"
  printf 'standard output:\n'
  head -c 2000 "$out"
  printf '\nstandard error:\n'
  head -c 2000 "$err"
}

# For expect: whatever it printed is fine.
any=$'\001any'

# Whether the output is what expect was told.
printed ()
{
  local output

  case $1 in
    "$any")
      ;;
    '~'*)
      output=$(cat "$out" && echo .)
      [[ ${output%.} =~ ^(${1#\~})$ ]]
      ;;
    *)
      printf '%s' "$1" | cmp -s - "$out"
      ;;
  esac
}

# expect DESCRIPTION STATUS OUTPUT [REGEX...]: passes where the last `run' ended
# with STATUS, printed exactly OUTPUT, newlines and all, and where each REGEX is
# found in what it printed on standard error: or nothing there, without REGEX.
# An OUTPUT that begins with ~ is a regular expression for all of the output.
expect ()
{
  local description=$1 wanted_status=$2 wanted_output=$3 wrong='' regex

  shift 3
  if [ "$status" != "$wanted_status" ]; then
    wrong+="the status is not $wanted_status"$'\n'
  fi
  if ! printed "$wanted_output"; then
    wrong+="the output is not: $wanted_output"$'\n'
  fi
  if [ $# = 0 ] && [ -s "$err" ]; then
    wrong+="it printed something on standard error"$'\n'
  fi
  for regex in "$@"; do
    if [ "$regex" != "$any" ] && ! grep -Eqi -e "$regex" "$err"; then
      wrong+="standard error does not say: $regex"$'\n'
    fi
  done
  if [ -z "$wrong" ]; then
    ok "$description"
  else
    not_ok "$description" "$wrong$(details)"
  fi
}

# ------------------------------------------------------------------ waiting

# To be called in loops that wait and have a limit.
pause ()
{
  sleep 0.01
}

# wait_until COMMAND...: again and again, until it succeeds.
wait_until ()
{
  local deadline=$((SECONDS + patience))

  until "$@"; do
    if [ $SECONDS -ge $deadline ]; then
      return 1
    fi
    pause
  done
}

# Whether a process of ours, and not a zombie, is there.
runs ()
{
  kill -0 "$1" 2>/dev/null
}

is_gone ()
{
  ! runs "$1"
}

# reap PID: waits for the end of what we started, and leaves its exit status in
# $status.  The shell's own remarks on how it ended are of no use.
reap ()
{
  if wait_until is_gone "$1"; then
    wait "$1"
    status=$?
  else
    status="none: still running after $patience s"
  fi
} 2>/dev/null

# Whether process $1 is stopped.
is_stopped ()
{
  [ "$(process_state "$1")" = T ]
}

process_state ()
{
  sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null
}

# stop PID: by SIGSTOP; on return it has stopped.
stop ()
{
  kill -STOP "$1"
  wait_until is_stopped "$1"
}

# Milliseconds since some moment.
now_ms ()
{
  local up

  read -r up _ </proc/uptime
  echo "${up/./}0"
}

# ---------------------------------------------------------------- processes

# Processes that a script talks with, by a label of its choice.
declare -A pid_of=() input_of=() output_of=()

# spawn LABEL PROGRAM [ARGUMENT...]: in the background.  What it prints, errors
# too, can be heard; what it reads is what it is told.  It does not see the end
# of its input: to be ended by a line, or killed.
spawn ()
{
  local label=$1 fd

  shift
  mkfifo "$tmp/in.$label" "$tmp/out.$label"
  # Opened for both, so as not to wait for each other.
  exec {fd}<>"$tmp/in.$label"
  input_of[$label]=$fd
  "$@" <"$tmp/in.$label" >"$tmp/out.$label" 2>&1 &
  pid_of[$label]=$!
  exec {fd}<"$tmp/out.$label"
  output_of[$label]=$fd
  rm "$tmp/in.$label" "$tmp/out.$label"
  : >"$tmp/heard.$label"
}

# hear LABEL REGEX: waits for a line that matches; the line is then in $line.
# Fails where the output or our patience ends.
hear ()
{
  local deadline=$((SECONDS + patience))

  while [ $SECONDS -lt $deadline ] && read_line "${output_of[$1]}" $((deadline - SECONDS)); do
    printf '%s\n' "$line" >>"$tmp/heard.$1"
    if [[ $line =~ $2 ]]; then
      return 0
    fi
  done
  return 1
}

# With what is there of a last line that has no newline.
read_line ()
{
  IFS= read -r -t "$2" -u "$1" line || [ -n "$line" ]
}

# hear_all LABEL: waits until it closes its output, which is then in $heard.
hear_all ()
{
  hear "$1" $'\001' || true
  heard=$(cat "$tmp/heard.$1")
}

# tell LABEL LINE
tell ()
{
  printf '%s\n' "$2" >&"${input_of[$1]}"
}

# part LABEL: waits for its end; see reap.  Whatever it still says is in $heard.
part ()
{
  local fd

  hear_all "$1"
  reap "${pid_of[$1]}"
  fd=${input_of[$1]}
  exec {fd}>&-
  fd=${output_of[$1]}
  exec {fd}<&-
}

# ------------------------------------------------------------------ servers

name=
n_names=0

# A name that no server has, in $name.
new_name ()
{
  n_names=$((n_names + 1))
  name=test-$script_pid-$n_names
}

# start_server [OPTION...]: with a name of its own, in $name, and little memory.
# On return it is ready.  Its process is $server_pid, what it prints goes to the
# files $server_out and $server_log.
start_server ()
{
  new_name
  start_server_again "$@" || bail "the server starts" "$(cat "$server_log")"
}

# The same under the name in $name; fails where the server does, which then is
# $status.
start_server_again ()
{
  local fd deadline=$((SECONDS + patience))

  server_out=$tmp/$name.out
  server_log=$tmp/$name.log
  ready=
  mkfifo "$tmp/ready"
  "$server" --name="$name" --sessions=16 --ring-size=16K "$@" \
    </dev/null >>"$server_out" 2>"$tmp/ready" &
  server_pid=$!
  exec {fd}<"$tmp/ready"
  rm "$tmp/ready"
  while [ -z "$ready" ] && [ $SECONDS -lt $deadline ] && read_line "$fd" "$patience"; do
    printf '%s\n' "$line" >>"$server_log"
    if [[ $line == *' is ready: '* ]]; then
      ready=$line
    fi
  done
  cat <&"$fd" >>"$server_log" &
  exec {fd}<&-
  if [ -z "$ready" ]; then
    reap "$server_pid"
    return 1
  fi
}

# The line that the server started with, last.
ready=

# stop_server [SIGNAL]: leaves its exit status in $status.
stop_server ()
{
  kill -"${1:-TERM}" "$server_pid" 2>/dev/null
  reap "$server_pid"
}

# kill_server: by SIGKILL.
kill_server ()
{
  stop_server KILL
}

# The names of what the script's servers have in /dev/shm.
list_objects ()
{
  local object

  for object in /dev/shm/shmkv."${1:-test-$script_pid-}"*; do
    if [ -e "$object" ] || [ -L "$object" ]; then
      echo "$object"
    fi
  done
}

# Whether the server named $1 has nothing there; any of ours, without $1.
is_clean ()
{
  [ -z "$(list_objects "$@")" ]
}

# Whether the server can be attached to and answers.
answers ()
{
  timeout -k 5 "$patience" "$client" --name="${1:-$name}" ping </dev/null >/dev/null 2>&1
}

# stat_of NAME: one of the server's statistics.
stat_of ()
{
  timeout -k 5 "$patience" "$client" --name="$name" stats </dev/null | awk -v name="$1" '$1 == name { print $2 }'
}

# ---------------------------------------------------------------- other users

# Copies of the programs that everybody may run, in $tmp/bin, with the library;
# HELPER... in tests/helpers too.
copy_programs ()
{
  local library helper

  chmod 755 "$tmp"
  mkdir -p "$tmp/bin"
  cp "$server" "$tmp/bin/"
  copy_program "$client"
  for helper in "$@"; do
    copy_program "$helpers/$helper"
  done
  for library in "$top_builddir"/src/shmkv/.libs/libshmkv.so*; do
    if [ -e "$library" ]; then
      cp -P "$library" "$tmp/bin/"
    fi
  done
}

# What libtool has made may be a script that runs the program.
copy_program ()
{
  if [ -x "${1%/*}/.libs/${1##*/}" ]; then
    cp "${1%/*}/.libs/${1##*/}" "$tmp/bin/"
  else
    cp "$1" "$tmp/bin/"
  fi
}

# -------------------------------------------------------------- the machine

is_root ()
{
  [ "$(id -u)" = 0 ]
}

have ()
{
  command -v "$1" >/dev/null 2>&1
}

# --------------------------------------------------------------------- ends

# end_all SIGNAL: for all that still runs; also what is stopped.
end_all ()
{
  local pid

  for pid in $(jobs -rp); do
    # In this order: at the end of a process, its sanitizer may be confused by
    # what makes it continue.
    kill -CONT "$pid" 2>/dev/null
    kill -"$1" "$pid" 2>/dev/null
  done
}

all_ended ()
{
  [ -z "$(jobs -rp)" ]
}

leave ()
{
  trap '' HUP INT PIPE TERM
  end_all TERM
  patience=10 wait_until all_ended || end_all KILL
  list_objects | while IFS= read -r object; do
    rm -rf "$object"
  done
  rm -rf "$tmp"
}

trap leave EXIT
trap 'exit 1' HUP INT PIPE TERM

# finish: ends the script, with a last check and the plan; with status 1 where
# something is not as it should be, for whoever calls it without a TAP driver.
finish ()
{
  end_all TERM
  if ! patience=30 wait_until all_ended; then
    not_ok 'what was started ends when asked to' "$(jobs -rl)"
    end_all KILL
  fi
  check 'nothing is left in /dev/shm' no_objects
  printf '1..%d\n' "$n_results"
  exit $((n_failures > 0))
}

no_objects ()
{
  list_objects
  is_clean
}

if ! have timeout; then
  skip_all 'there is no timeout(1) here'
fi
