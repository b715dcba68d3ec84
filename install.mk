# Installation. Paths come from the variables at the head of the makefile; they are
# also compiled in as defaults. Existing configuration is never overwritten.

# Handy for scripts: the unit test programs and fuzz harnesses as targets.
.PHONY: print-tests fuzzers
print-tests:
	@echo $(TESTS)
fuzzers: $(FUZZERS)

# -- the paths as built-in defaults; changing one rebuilds what knows them --
PATH_VARS := sysconfdir command_directory daemon_directory queue_directory \
	data_directory sendmail_path mailq_path newaliases_path manpage_directory \
	mail_owner setgid_group shlib_directory meta_directory
upper      = $(shell echo $(1) | tr a-z A-Z)
PATH_DEFS := $(foreach v,$(PATH_VARS),-D$(call upper,$v)='"$($v)"')
PATH_OBJ  := $(BUILD)/obj/gen/param_table.o $(call obj,$(shell grep -ls \
	'include "global/paths.h"' $(wildcard src/*/*.c) /dev/null))
$(PATH_OBJ): ALL_CFLAGS += $(PATH_DEFS)
$(PATH_OBJ): $(BUILD)/gen/paths.stamp
.PHONY: FORCE
FORCE:
$(BUILD)/gen/paths.stamp: FORCE
	@mkdir -p $(@D)
	@echo "$(PATH_DEFS)" | cmp -s - $@ || echo "$(PATH_DEFS)" > $@

# -- what goes where --
COMMANDS  := postalias postcat postconf postdrop postfix postkick postlock postlog \
	postmap postmulti postqueue postsuper posttls-finger qshape smtp-source \
	smtp-sink qmqp-source qmqp-sink
SENDMAIL  := sendmail mailq newaliases
DAEMONS   := $(filter-out $(COMMANDS) $(SENDMAIL),$(PROGRAMS))
SETGID    := postdrop postqueue postlog
# Further names of one program, in the same directory: name=program.
DAEMON_ALIASES  := lmtp=smtp oqmgr=qmgr
COMMAND_ALIASES := postalias=postmap qmqp-source=smtp-source qmqp-sink=smtp-sink
QUEUE_DIRS := active bounce corrupt defer deferred flush hold incoming saved trace private
D          := $(DESTDIR)
INSTALL    ?= install

# alias(names, directory): links for the names that have no program of their own.
define alias
@for pair in $(1); do name=$${pair%=*} program=$${pair#*=}; \
	if [ ! -f $(BUILD)/bin/$$name ] && [ -f $(BUILD)/bin/$$program ]; then \
		ln -sf $$program $(D)$(2)/$$name; fi; done
endef

install: all install-programs install-plugins install-man install-conf install-queue

install-programs: all
	$(INSTALL) -d -m 755 $(D)$(command_directory) $(D)$(daemon_directory)
	@set -e; for p in $(filter $(COMMANDS),$(PROGRAMS)); do \
		$(INSTALL) -m 755 $(BUILD)/bin/$$p $(D)$(command_directory)/$$p; done
	@set -e; for p in $(DAEMONS); do \
		$(INSTALL) -m 755 $(BUILD)/bin/$$p $(D)$(daemon_directory)/$$p; done
	$(call alias,$(COMMAND_ALIASES),$(command_directory))
	$(call alias,$(DAEMON_ALIASES),$(daemon_directory))
	@if [ -f $(BUILD)/bin/sendmail ]; then set -e; \
		for f in $(sendmail_path) $(mailq_path) $(newaliases_path); do \
			$(INSTALL) -d -m 755 $(D)$$(dirname $$f); done; \
		$(INSTALL) -m 755 $(BUILD)/bin/sendmail $(D)$(sendmail_path); \
		for f in $(mailq_path) $(newaliases_path); do \
			ln -sf $(sendmail_path) $(D)$$f; done; fi
	@set -e; for p in $(filter $(SETGID),$(PROGRAMS)); do \
		f=$(D)$(command_directory)/$$p; \
		if chown root:$(setgid_group) $$f 2>/dev/null; then chmod 2755 $$f; \
		else echo "install: warning: $$f could not be made set-gid $(setgid_group)" \
			"(needs root and that group)" >&2; fi; done

# Table plug-ins: those that could be built.
install-plugins: all
	@if [ "$(shlib_directory)" != no ]; then set -e; \
		$(INSTALL) -d -m 755 $(D)$(shlib_directory); \
		for f in $(PLUGIN_SO); do [ -f $$f ] || continue; \
			$(INSTALL) -m 755 $$f $(D)$(shlib_directory)/$$(basename $$f); done; fi

install-man:
	@set -e; for f in $(wildcard man/man*/*.[158]) $(wildcard $(BUILD)/man/man*/*.[158]); do \
		s=$$(basename $$(dirname $$f)); \
		$(INSTALL) -d -m 755 $(D)$(manpage_directory)/$$s; \
		$(INSTALL) -m 644 $$f $(D)$(manpage_directory)/$$s/; done

# New files only: what an operator has is kept.
install-conf:
	$(INSTALL) -d -m 755 $(D)$(sysconfdir)
	@set -e; for f in $(filter-out conf/README,$(wildcard conf/*)); do \
		t=$(D)$(sysconfdir)/$$(basename $$f); \
		if [ -e $$t ]; then echo "install: kept $$t"; \
		elif [ -f $$f ]; then $(INSTALL) -m 644 $$f $$t; fi; done

install-queue:
	$(INSTALL) -d -m 755 $(D)$(queue_directory) $(D)$(queue_directory)/pid
	$(INSTALL) -d -m 700 $(QUEUE_DIRS:%=$(D)$(queue_directory)/%) $(D)$(data_directory)
	$(INSTALL) -d -m 730 $(D)$(queue_directory)/maildrop
	$(INSTALL) -d -m 710 $(D)$(queue_directory)/public
	@q=$(D)$(queue_directory); \
	if chown $(mail_owner) $(QUEUE_DIRS:%=$$q/%) $$q/maildrop $$q/public \
			$(D)$(data_directory) 2>/dev/null && \
		chgrp $(setgid_group) $$q/maildrop $$q/public 2>/dev/null; then \
		chmod 730 $$q/maildrop; chmod 710 $$q/public; \
	else echo "install: warning: queue directories do not belong to $(mail_owner) and" \
		"$(setgid_group): make the accounts, then run 'make install' again as root" >&2; fi

# Programs and manual pages. Configuration, queue and data stay.
uninstall:
	rm -f $(COMMANDS:%=$(D)$(command_directory)/%) $(DAEMONS:%=$(D)$(daemon_directory)/%)
	rm -f $(foreach a,$(DAEMON_ALIASES),$(D)$(daemon_directory)/$(firstword $(subst =, ,$a)))
	rm -f $(D)$(sendmail_path) $(D)$(mailq_path) $(D)$(newaliases_path)
	rm -f $(foreach f,$(wildcard man/man*/*.[158]) $(wildcard $(BUILD)/man/man*/*.[158]),\
		$(D)$(manpage_directory)/$(notdir $(patsubst %/,%,$(dir $f)))/$(notdir $f))
	rm -f $(foreach p,$(PLUGIN_PKGS),$(D)$(shlib_directory)/gatepost-$(firstword $(subst =, ,$p)).so)
	@rmdir $(D)$(daemon_directory) 2>/dev/null || true
