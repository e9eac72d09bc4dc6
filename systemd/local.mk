# SPDX-License-Identifier: LGPL-2.1-or-later

# Units for systemd, for a server of the system and for a user's: each a template
# whose instance is the server's name.  They are made with the rest, so that the
# tests look at them, also where they are not installed.

systemd_units = \
	systemd/system/shmkv@.service \
	systemd/user/shmkv@.service

noinst_DATA = $(systemd_units)
CLEANFILES += $(systemd_units)

EXTRA_DIST += \
	systemd/system/shmkv@.service.in \
	systemd/user/shmkv@.service.in

if SYSTEMD_SYSTEM_UNITS
systemdsystemunit_DATA = systemd/system/shmkv@.service
endif

if SYSTEMD_USER_UNITS
systemduserunit_DATA = systemd/user/shmkv@.service
endif

# Here and not by configure: the directories may be given to make as well.
$(systemd_units): Makefile
	$(AM_V_GEN)$(MKDIR_P) '$(@D)' \
	  && sed -e 's|@bindir[@]|$(bindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
	    '$(srcdir)/$@.in' >'$@.tmp' \
	  && mv '$@.tmp' '$@'

systemd/system/shmkv@.service: systemd/system/shmkv@.service.in
systemd/user/shmkv@.service: systemd/user/shmkv@.service.in
