/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells a service manager how the server is doing; the protocol of
 * sd_notify(3), which is a datagram to the socket that $NOTIFY_SOCKET names. */

#pragma once

/* Does nothing where nobody wants to know. */
void shmkv_notify (const char *state);
