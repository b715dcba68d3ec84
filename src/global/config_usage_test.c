#include "global/config_usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "global/config_internal.h"
#include "util/file.h"
#include "util/msg.h"

struct fixture {
    struct config *cfg;
    struct master_cf *mcf;
    struct config_usage *usage;
};

static void open_texts(struct fixture *f, const char *main_cf, const char *master_cf)
{
    struct config_source source = {.dir = "/etc/x", .program = "test"};
    struct err err = {.text = ""};

    f->cfg = config_new(&source);
    if (!config_parse(f->cfg, "main.cf", span_str(main_cf), &err))
        fail_msg("%s", err.text);
    f->mcf = master_cf_parse(NULL, "master.cf", span_str(master_cf), &err);
    if (!f->mcf)
        fail_msg("%s", err.text);
    f->usage = config_usage_new(f->cfg, f->mcf);
}

static void close_texts(struct fixture *f)
{
    config_usage_free(f->usage);
    master_cf_free(f->mcf);
    config_free(f->cfg);
}

static bool known(const struct fixture *f, const char *name)
{
    return config_usage_known(f->usage, span_str(name));
}

static void names_are_known_for_a_reason(void **state)
{
    struct fixture f;

    (void)state;
    open_texts(&f,
               "smtpd_restriction_classes = strict, lax\n"
               "alias_maps = proxy:ldap:people, hash:/etc/aliases\n"
               "mydestination = $mine ${other?{$branch}:{x}} $$price\n"
               "mine = $deeper\n",
               "drop unix - n n - - pipe argv=/x\n"
               "slow unix - - n - - smtp -o smtp_helo_name=$from_option\n"
               "job unix - n n - - spawn argv=/y\n");
    assert_true(known(&f, "smtpd_timeout"));
    assert_true(known(&f, "virtual_maps"));
    assert_true(known(&f, "strict"));
    assert_true(known(&f, "lax"));
    assert_true(known(&f, "people_bind_dn"));
    assert_false(known(&f, "people_user"));
    assert_true(known(&f, "mine"));
    assert_true(known(&f, "other"));
    assert_true(known(&f, "branch"));
    assert_true(known(&f, "deeper"));
    assert_true(known(&f, "from_option"));
    assert_false(known(&f, "price"));
    assert_true(known(&f, "slow_destination_concurrency_limit"));
    assert_true(known(&f, "drop_time_limit"));
    assert_true(known(&f, "job_time_limit"));
    assert_false(known(&f, "slow_time_limit"));
    assert_false(known(&f, "job_destination_concurrency_limit"));
    close_texts(&f);
}

/* What the warnings say, in order. */
static void warnings(const char *main_cf, const char *master_cf, const char *wanted[])
{
    char path[] = "/tmp/config_usage_test.XXXXXX";
    int fd = mkstemp(path);
    struct strbuf log = STRBUF_INIT;
    struct fixture f;
    struct err err;
    const char *at;

    assert_true(fd >= 0);
    close(fd);
    open_texts(&f, main_cf, master_cf);
    msg_set_sink(MSG_SINK_FILE, path);
    config_usage_warn_undefined(f.usage);
    config_usage_warn_unused(f.usage);
    msg_flush();
    msg_set_sink(MSG_SINK_STDERR, NULL);
    assert_true(file_read_all(path, 65536, &log, &err));
    unlink(path);
    at = log.ptr;
    for (; *wanted; wanted++) {
        at = strstr(at, *wanted);
        if (!at)
            fail_msg("no \"%s\" in order in:\n%s", *wanted, log.ptr);
        at += strlen(*wanted);
    }
    assert_null(strstr(at, "warning"));
    strbuf_free(&log);
    close_texts(&f);
}

static void warnings_name_file_and_setting(void **state)
{
    (void)state;
    warnings(
        "zzz = 1\n"
        "mydestination = $nosuch $nosuch $set_by_option\n"
        "mailbox_command = /bin/x $USER\n"
        "aaa = $smtpd_timeout x\n"
        "disable_dns_lookups = yes\n",
        "a unix - - n - - smtp -o set_by_option=1 -o forgotten=2\n",
        (const char *[]){
            "/etc/x/main.cf: undefined parameter: nosuch\n",
            "/etc/x/main.cf: unused parameter: zzz=1\n",
            "/etc/x/main.cf: unused parameter: aaa=$smtpd_timeout x\n",
            "/etc/x/main.cf: support for parameter \"disable_dns_lookups\" will be "
            "removed; instead, specify \"smtp_dns_support_level\"\n",
            "master.cf: unused parameter: forgotten=2\n", NULL});
}

static void a_clean_configuration_is_quiet(void **state)
{
    (void)state;
    warnings("mydestination = $mine\nmine = x\n", "a unix - - n - - smtp\n",
             (const char *[]){"", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_for_a_reason),
        cmocka_unit_test(warnings_name_file_and_setting),
        cmocka_unit_test(a_clean_configuration_is_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
