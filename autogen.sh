#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later

# From a checkout to a tree that `make' can build; see usage().

set -eu

glib_minimum=2.68
xxhash_minimum=0.8

cd "$(dirname "$0")"

usage ()
{
  cat <<END
Usage: ./autogen.sh [--install-deps] [OPTION OF CONFIGURE...]

Checks that the tools and libraries for building and testing shmkv are there,
generates the build system, and runs ./configure with the given options.

  --install-deps  first install what is missing; does so on Debian, Ubuntu and
                  their like, with sudo where needed, and names the command on
                  other systems.  Does nothing where nothing is missing.
  --help          show this text; for those of configure, ./configure --help

With NOCONFIGURE set in the environment, does not run ./configure.
END
}

say ()
{
  printf 'autogen.sh: %s\n' "$*" >&2
}

die ()
{
  say "$*"
  exit 1
}

have ()
{
  command -v "$1" >/dev/null 2>&1
}

# ------------------------------------------------------------ what is needed

have_compiler ()
{
  for compiler in ${CC:+"$CC"} cc gcc clang; do
    # CC may hold options: split it.
    # shellcheck disable=SC2086
    if echo '#include <stdio.h>' | $compiler -E - >/dev/null 2>&1; then
      return 0
    fi
  done
  return 1
}

pkg_config ()
{
  if [ -n "${PKG_CONFIG:-}" ]; then
    "$PKG_CONFIG" "$@"
  elif have pkg-config; then
    pkg-config "$@"
  else
    pkgconf "$@"
  fi 2>/dev/null
}

have_pkg_m4 ()
{
  have aclocal || return 0
  echo 'PKG_PROG_PKG_CONFIG' >"$scratch/configure.ac"
  (cd "$scratch" && aclocal --output=- 2>/dev/null) | grep -q PKG_PROG_PKG_CONFIG
}

have_pkg_config ()
{
  pkg_config --version >/dev/null && have_pkg_m4
}

have_glib ()
{
  pkg_config --exists "gio-unix-2.0 >= $glib_minimum" "glib-2.0 >= $glib_minimum"
}

have_xxhash ()
{
  pkg_config --exists "libxxhash >= $xxhash_minimum"
}

# need WHAT TEST APT DNF PACMAN APK: where TEST fails, notes that WHAT is
# missing, and the packages of the system at hand that bring it.
need ()
{
  if $2; then
    return
  fi
  case $manager in
    apt-get) packages=$3 ;;
    dnf) packages=$4 ;;
    pacman) packages=$5 ;;
    apk) packages=$6 ;;
    *) packages= ;;
  esac
  missing="$missing${missing:+
}  $1${packages:+ ($packages)}"
  missing_packages="$missing_packages${packages:+ $packages}"
}

find_missing ()
{
  missing=
  missing_packages=
  need 'a C compiler and the C library headers' have_compiler \
    'gcc libc6-dev' 'gcc glibc-devel' 'gcc' 'gcc musl-dev linux-headers'
  need make 'have make' make make make make
  need autoconf 'have autoreconf' autoconf autoconf autoconf autoconf
  need automake 'have automake' automake automake automake automake
  need libtool 'have libtoolize' libtool libtool libtool libtool
  need pkg-config have_pkg_config \
    pkg-config pkgconf-pkg-config pkgconf pkgconf
  need "GLib $glib_minimum or newer" have_glib \
    libglib2.0-dev glib2-devel glib2 glib-dev
  need "xxHash $xxhash_minimum or newer" have_xxhash \
    libxxhash-dev xxhash-devel xxhash xxhash-dev
  need 'bash, for the tests' 'have bash' bash bash bash bash
  need 'xz, for make dist' 'have xz' xz-utils xz xz xz
}

# ------------------------------------------------------------ installing it

find_manager ()
{
  for candidate in apt-get dnf pacman apk; do
    if have "$candidate"; then
      echo "$candidate"
      return
    fi
  done
}

as_root ()
{
  if [ "$(id -u)" = 0 ]; then
    env "$@"
  elif have sudo; then
    sudo env "$@"
  else
    die "not root, and there is no sudo: as root, run: $install_command$missing_packages"
  fi
}

install_packages ()
{
  case $manager in
    apt-get) install_command='apt-get install -y' ;;
    dnf) install_command='dnf install -y' ;;
    pacman) install_command='pacman -S --needed' ;;
    apk) install_command='apk add' ;;
    *) install_command= ;;
  esac
  if [ -z "$install_command" ]; then
    die "don't know this system's packages: install the above by hand"
  fi
  if [ "$install" = no ]; then
    say "install it with: $install_command$missing_packages"
    [ "$manager" != apt-get ] || say 'or let this script do it: ./autogen.sh --install-deps'
    exit 1
  fi
  if [ "$manager" != apt-get ]; then
    die "as root, run: $install_command$missing_packages"
  fi
  as_root DEBIAN_FRONTEND=noninteractive apt-get update -q \
    || say 'apt-get update failed; trying with the package lists that are there'
  # Several packages in one variable: split it.
  # shellcheck disable=SC2086
  as_root DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $missing_packages </dev/null
}

# --------------------------------------------------------------------- main

# Takes this script's own options out of "$@"; the rest is for configure.
install=no
for argument in "$@"; do
  shift
  case $argument in
    --help | -h)
      usage
      exit 0
      ;;
    --install-deps) install=yes ;;
    *) set -- "$@" "$argument" ;;
  esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

manager=$(find_manager)
find_missing
if [ -n "$missing" ]; then
  say 'missing:'
  printf '%s\n' "$missing" >&2
  install_packages
  find_missing
  [ -z "$missing" ] || die "still missing, though it was installed:
$missing"
fi

autoreconf --force --install

if [ -n "${NOCONFIGURE+set}" ]; then
  say 'now run ./configure, here or in a directory of its own; then make'
  exit 0
fi

./configure "$@"
