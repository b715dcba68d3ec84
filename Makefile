# Gatepost. Targets: all check unit lint e2e fuzz bench install uninstall clean.
# Variables: CC, CFLAGS, SAN=1 (address and undefined sanitizers, in build-asan/),
# and the installation paths below.

sysconfdir        ?= /etc/postfix
command_directory ?= /usr/sbin
daemon_directory  ?= /usr/libexec/postfix
queue_directory   ?= /var/spool/postfix
data_directory    ?= /var/lib/postfix
sendmail_path     ?= /usr/sbin/sendmail
mailq_path        ?= /usr/bin/mailq
newaliases_path   ?= /usr/bin/newaliases
manpage_directory ?= /usr/share/man
shlib_directory   ?= $(daemon_directory)
meta_directory    ?= $(sysconfdir)
mail_owner        ?= postfix
setgid_group      ?= postdrop

ifdef SAN
BUILD    := build-asan
# gcc's object-size check finds fault with (a ? b : c)[i]; the address one is exact.
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=object-size
OPT      ?= -O1
else
BUILD    := build
OPT      ?= -O2
endif
CFLAGS   ?= $(OPT) -g
cc_opt    = $(shell $(CC) -Werror $(1) -xc -c /dev/null -o /dev/null 2>/dev/null && echo $(1))
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla $(call cc_opt,-Wno-format-truncation)
ifdef WERROR
WARN     += -Werror
endif
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -pthread -fno-omit-frame-pointer -fstack-protector-strong \
	$(WARN) $(SANFLAGS) $(CFLAGS) -Isrc -I$(BUILD)/gen
LIBS     := -lcares -llmdb -lpcre2-8 -lunistring -lm -pthread
PYTHON   ?= /usr/bin/python3

# Short build lines; V=1 shows the commands.
ifndef V
Q_CC = @echo "  CC   $<";
Q_LD = @echo "  LD   $@";
endif

# Libraries, bottom up; a layer may include only those before it (tests/lint/layers).
LAYERS   := util table dns tls sasl milter global
LIB_SRC  := $(filter-out %_test.c src/table/plugins/%,$(foreach l,$(LAYERS),$(wildcard src/$l/*.c src/$l/*/*.c))) \
	$(filter-out %_test.c,$(wildcard src/master/service*.c))
GEN_SRC  := $(BUILD)/gen/param_table.c
GEN_HDR  := $(BUILD)/gen/param_gen.h
LIB      := $(BUILD)/libgatepost.a

# One folder a program; its sources are all there but unit tests.
PROGRAMS := $(filter-out $(LAYERS),$(notdir $(patsubst %/,%,$(dir $(wildcard src/*/*.c)))))
PROGRAMS := $(sort $(PROGRAMS))
TESTS    := $(patsubst src/%.c,$(BUILD)/test/%,$(wildcard src/*/*_test.c src/*/*/*_test.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BIN      := $(PROGRAMS:%=$(BUILD)/bin/%)

.PHONY: all check unit lint e2e fuzz bench install uninstall clean gen plugins
.SECONDARY:
all: $(BIN) plugins

# -- generated parameter tables --
PARAM_SRC := $(wildcard src/global/param/*.param)
gen: $(GEN_HDR)
$(GEN_HDR) $(GEN_SRC) &: $(PARAM_SRC) tools/paramgen.py
	@mkdir -p $(BUILD)/gen
	$(PYTHON) tools/paramgen.py --header $(GEN_HDR) --table $(GEN_SRC) $(PARAM_SRC)

# -- compilation --
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
$(BUILD)/obj/src/%.o: src/%.c | $(GEN_HDR)
	@mkdir -p $(@D)
	$(Q_CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/obj/src/%.o: src/%.S
	@mkdir -p $(@D)
	$(Q_CC) $(CC) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/obj/gen/param_table.o: $(GEN_SRC)
	@mkdir -p $(@D)
	$(Q_CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
LIB_OBJ := $(call obj,$(LIB_SRC)) $(BUILD)/obj/gen/param_table.o
$(LIB): $(LIB_OBJ)
	@rm -f $@
	@ar rcs $@ $(LIB_OBJ)

program_src = $(filter-out %_test.c $(wildcard src/master/service*.c),$(wildcard src/$(1)/*.c))
define program_rule
$(BUILD)/bin/$(1): $$(call obj,$$(call program_src,$(1))) $(LIB)
	@mkdir -p $$(@D)
	$$(Q_LD) $$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) -o $$@ $$(call obj,$$(call program_src,$(1))) $(LIB) $$(LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

# -- table plug-ins: gatepost-TYPE.so from src/table/plugins/TYPE.c and TYPE_*.c, for each
#    library that pkg-config finds. A plug-in has its own position-independent copies of
#    the pure files that it needs and exports one symbol (src/table/plugin.h) --
PLUGIN_DIR  := src/table/plugins
PLUGIN_PKGS := cdb=libcdb sqlite=sqlite3 ldap=ldap mysql=libmariadb pgsql=libpq \
	mongodb=libmongoc-1.0 redis=hiredis
PKG_CONFIG  ?= pkg-config
plugin_pkg   = $(patsubst $(1)=%,%,$(filter $(1)=%,$(PLUGIN_PKGS)))
PLUGINS     := $(foreach p,$(PLUGIN_PKGS),$(if $(wildcard \
	$(PLUGIN_DIR)/$(firstword $(subst =, ,$p)).c),$(if $(shell $(PKG_CONFIG) --exists \
	$(lastword $(subst =, ,$p)) 2>/dev/null && echo yes),$(firstword $(subst =, ,$p)))))
PLUGIN_LIBS_redis := $(shell $(PKG_CONFIG) --exists hiredis_ssl 2>/dev/null && \
	echo -lhiredis_ssl) -lssl -lcrypto
PLUGIN_LIBS_mongodb := -lrt
PLUGIN_SO   := $(PLUGINS:%=$(BUILD)/plugins/gatepost-%.so)
PLUGIN_SRC  := $(addprefix src/util/,arena.c base.c err.c escape.c file.c hash.c lock.c \
	span.c span_hash.c strbuf.c timefmt.c) \
	$(wildcard src/table/backend*.c) $(addprefix $(PLUGIN_DIR)/,conn_pool.c plugin_main.c \
	sql_common.c)
PLUGIN_SRC  := $(filter-out %_test.c,$(wildcard $(PLUGIN_SRC)))
PLUGIN_LIB  := $(BUILD)/libplugin.a
pic          = $(patsubst %.c,$(BUILD)/pic/%.o,$(1))
$(BUILD)/pic/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(Q_CC) $(CC) $(ALL_CFLAGS) $(PLUGIN_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
$(PLUGIN_LIB): $(call pic,$(PLUGIN_SRC))
	@rm -f $@
	@ar rcs $@ $^
plugin_src   = $(filter-out %_test.c,$(wildcard $(PLUGIN_DIR)/$(1).c $(PLUGIN_DIR)/$(1)_*.c))
# Sanitizers come with the program; everything else must be in the plug-in.
PLUGIN_LDFLAGS := -shared -Wl,--exclude-libs,ALL $(if $(SANFLAGS),,-Wl,--no-undefined)
define plugin_rule
$$(call pic,$$(call plugin_src,$(1))): PLUGIN_CFLAGS := $$(patsubst -I%,-isystem%,$$(shell \
	$(PKG_CONFIG) --cflags $(call plugin_pkg,$(1)))) $$(PLUGIN_CFLAGS_$(1))
$(BUILD)/plugins/gatepost-$(1).so: $$(call pic,$$(call plugin_src,$(1))) $(PLUGIN_LIB)
	@mkdir -p $$(@D)
	$$(Q_LD) $$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) $$(PLUGIN_LDFLAGS) -o $$@ $$^ \
		$$(shell $(PKG_CONFIG) --libs $(call plugin_pkg,$(1))) $$(PLUGIN_LIBS_$(1)) -pthread
	@chmod go-w $$@
endef
$(foreach t,$(PLUGINS),$(eval $(call plugin_rule,$(t))))
plugins: $(PLUGIN_SO)

# Unit tests TYPE_NAME_test.c and fuzz_TYPE.c of a plug-in link with its library.
plugin_of    = $(filter $(firstword $(subst _, ,$(notdir $(1)))),$(PLUGINS))
plugin_libs  = $(if $(1),$(shell $(PKG_CONFIG) --libs $(call plugin_pkg,$(1))) $(PLUGIN_LIBS_$(1)))
NO_PLUGINS  := $(filter-out $(PLUGINS),$(foreach p,$(PLUGIN_PKGS),$(firstword $(subst =, ,$p))))
TESTS       := $(filter-out $(NO_PLUGINS:%=$(BUILD)/test/table/plugins/%_%),$(TESTS))
FUZZERS     := $(filter-out $(NO_PLUGINS:%=$(BUILD)/fuzz/fuzz_%),$(FUZZERS))
$(foreach t,$(PLUGINS),$(eval $(BUILD)/obj/src/$(PLUGIN_DIR:src/%=%)/$(t)_%_test.o: \
	CFLAGS += $(patsubst -I%,-isystem%,$(shell $(PKG_CONFIG) --cflags $(call plugin_pkg,$(t))))))

# -- unit tests: foo_test.c links with the library and the rest of its program,
#    but not with that program's main file (<program>.c or main.c) --
test_extra = $(if $(filter $(firstword $(subst /, ,$(1))),$(LAYERS)),$(if $(call plugin_of,$(1)),$(filter-out \
	%/$(call plugin_of,$(1)).o,$(call pic,$(call plugin_src,$(call plugin_of,$(1)))))),\
	$(call obj,$(filter-out src/$(dir $(1))$(patsubst %/,%,$(dir $(1))).c src/$(dir $(1))main.c,$(call program_src,$(patsubst %/,%,$(dir $(1)))))))
define test_rule
$(BUILD)/test/$(1): $(BUILD)/obj/src/$(1).o $$(call test_extra,$(1)) $(LIB)
	@mkdir -p $$(@D)
	$$(Q_LD) $$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) -o $$@ $(BUILD)/obj/src/$(1).o $$(call test_extra,$(1)) $(LIB) $$(if $$(filter table/plugins/%,$(1)),$(PLUGIN_LIB) $$(call plugin_libs,$(call plugin_of,$(1)))) $$(LIBS) -lcmocka
endef
$(filter $(BUILD)/test/table/plugins/%,$(TESTS)): $(PLUGIN_LIB)
$(foreach t,$(TESTS),$(eval $(call test_rule,$(patsubst $(BUILD)/test/%,%,$(t)))))

unit: $(TESTS)
	@tests/run-units $(TESTS)

# -- fuzz harnesses (clang, libFuzzer) with the library built once for them, in
#    build-fuzz/; tests/fuzz/run gives each a short while --
FUZZ_SAN := address,undefined
FUZZ_LIB := build-fuzz/libgatepost.a
FUZZ_EXTRA_fuzz_smtp_command := $(filter-out %_test.c %/smtpd.c %/smtpd_standalone.c \
	%/smtpd_sink.c %/smtpd_drop.c,$(wildcard src/smtpd/*.c))
FUZZ_EXTRA_fuzz_source := src/postmap/content.c
FUZZ_EXTRA_fuzz_redis := $(addprefix $(PLUGIN_DIR)/,redis_proto.c redis_query.c)
FUZZ_EXTRA_fuzz_ldap := $(filter-out %_test.c,$(wildcard $(PLUGIN_DIR)/ldap_*.c))
.PHONY: fuzz-lib
fuzz-lib: $(GEN_HDR)
	@$(MAKE) --no-print-directory CC=clang BUILD=build-fuzz OPT=-O1 \
		SANFLAGS=-fsanitize=fuzzer-no-link,$(FUZZ_SAN) $(FUZZ_LIB)
$(BUILD)/fuzz/%: tests/fuzz/%.c fuzz-lib
	@mkdir -p $(@D)
	clang -std=gnu17 -D_GNU_SOURCE -pthread -g -O1 -fsanitize=fuzzer,$(FUZZ_SAN) -Isrc -I$(BUILD)/gen -o $@ $< $(FUZZ_EXTRA_$*) $(FUZZ_LIB) $(call plugin_libs,$(filter $(*:fuzz_%=%),$(PLUGINS))) $(LIBS)
fuzz: $(FUZZERS)
	tests/fuzz/run $(FUZZERS)

lint:
	tests/lint/run
e2e: all
	tests/e2e/run
check: lint unit e2e fuzz

bench: all
	bench/run

clean:
	rm -rf build build-asan build-clang build-cov build-fuzz

-include install.mk
-include $(shell find $(BUILD)/obj $(BUILD)/pic -name '*.d' 2>/dev/null)
