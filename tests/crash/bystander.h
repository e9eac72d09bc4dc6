/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that nothing may happen to, whoever else dies; for process_fork(). */

#pragma once

#include "process.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;                 /* of the server */
  guint64 seed;
  guint number;                     /* less than N_HISTOGRAMS: it measures */
} Bystander;

/* A play without end. */
void bystander_run (Shared *shared, gpointer bystander);

/* What is changed is told to who watches, in order. */
void bystander_watch (Shared *shared, gpointer bystander);

/* More workers, and fewer. */
void bystander_change_workers (Shared *shared, gpointer bystander);

/* Statistics, print, count, scan. */
void bystander_look (Shared *shared, gpointer bystander);

/* A server of its own, and all of its keys: count, scan, clear. */
void bystander_walk (Shared *shared, gpointer bystander);

G_END_DECLS
