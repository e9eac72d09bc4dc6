/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A connection to a Unix socket, with buffers both ways: few system calls and
 * no copies more than needed, so that what is measured is the server. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PeersSocket PeersSocket;

PeersSocket *peers_socket_new (const char *path);

void peers_socket_free (PeersSocket *socket);

/* Where to write up to `n` bytes that are to be sent; then peers_socket_wrote()
 * tells the end of what was written. */
char *peers_socket_reserve (PeersSocket *socket, gsize n);
void peers_socket_wrote (PeersSocket *socket, const char *end);

/* Sends all that was written. */
void peers_socket_flush (PeersSocket *socket);

/* The next `n` bytes that the server sent; waits for them.  Valid until the next
 * call. */
const char *peers_socket_take (PeersSocket *socket, gsize n);

/* The same up to the next newline, which is included. */
const char *peers_socket_take_line (PeersSocket *socket, gsize *length_out);

G_END_DECLS
