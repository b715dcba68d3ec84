#include "global/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "global/config_internal.h"
#include "util/msg.h"
#include "util/strbuf.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/config_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/main.cf", dir);
    unlink(path);
    return rmdir(dir);
}

static void write_main_cf(const char *text)
{
    char path[128];
    FILE *out;

    snprintf(path, sizeof path, "%s/main.cf", dir);
    out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static struct config *load(const char *text, struct err *err)
{
    struct config_source source = {.dir = dir, .program = "smtpd", .service = "smtp"};

    write_main_cf(text);
    err->text[0] = '\0';
    return config_load(&source, err);
}

static struct config *load_ok(const char *text)
{
    struct err err;
    struct config *cfg = load(text, &err);

    if (!cfg)
        fail_msg("%s", err.text);
    return cfg;
}

/* The text ends in what is wrong; in front of it is the place. */
static void expect_error(const char *text, const char *wanted)
{
    struct err err;
    struct config *cfg = load(text, &err);

    if (cfg)
        fail_msg("%s: accepted", text);
    if (!strstr(err.text, wanted))
        fail_msg("%s: got \"%s\", not \"%s\"", text, err.text, wanted);
}

static void defaults_fill_the_fields(void **state)
{
    struct config *cfg = load_ok("myhostname = mx.example.com\n");

    (void)state;
    assert_int_equal(cfg->smtpd_timeout, 300);
    assert_int_equal(cfg->address_verify_positive_expire_time, 31 * 86400);
    assert_int_equal(cfg->message_size_limit, 10240000);
    assert_true(cfg->append_dot_mydomain);
    assert_string_equal(cfg->mydomain, "example.com");
    assert_string_equal(cfg->mydestination,
                        "mx.example.com, localhost.example.com, localhost");
    assert_string_equal(cfg->relay_domains, cfg->mydestination);
    assert_string_equal(cfg->p_2bounce_notice_recipient, "postmaster");
    assert_int_equal(cfg->local_destination_concurrency_limit, 2);
    assert_int_equal(cfg->smtp_destination_concurrency_limit, 20);
    assert_string_equal(cfg->process_name, "smtpd");
    assert_string_equal(cfg->service_name, "smtp");
    assert_string_equal(cfg->config_directory, dir);
    assert_int_equal(cfg->process_id, getpid());
    assert_string_equal(cfg->syslog_name, "postfix");
    config_free(cfg);
}

static void level_changes_defaults(void **state)
{
    struct config *cfg = load_ok("compatibility_level = 3.11\n");

    (void)state;
    assert_false(cfg->append_dot_mydomain);
    assert_string_equal(cfg->relay_domains, "");
    assert_string_equal(cfg->mynetworks_style, "host");
    assert_string_equal(cfg->smtp_tls_fingerprint_digest, "sha256");
    assert_string_equal(cfg->smtp_tls_security_level, "may");
    assert_true(cfg->smtputf8_enable);
    config_free(cfg);
}

static void settings_and_user_parameters(void **state)
{
    struct config *cfg = load_ok("# comment\n"
                                 "mydestination = $mine,\n"
                                 "# in the middle\n"
                                 "\n"
                                 "\tlocalhost\n"
                                 "mine=a.example   \n"
                                 "smtpd_timeout = 2m\n"
                                 "hopcount_limit = $hops\n"
                                 "hops = 17\n"
                                 "biff = NO\n");

    (void)state;
    assert_string_equal(cfg->mydestination, "a.example,\tlocalhost");
    assert_string_equal(config_value(cfg, "mine"), "a.example");
    assert_null(config_value(cfg, "nosuch"));
    assert_int_equal(cfg->smtpd_timeout, 120);
    assert_int_equal(cfg->hopcount_limit, 17);
    assert_false(cfg->biff);
    config_free(cfg);
}

static void overrides_win(void **state)
{
    const struct config_override overrides[] = {{"smtpd_timeout", "7s"},
                                                {"stress", "yes"},
                                                {"smtpd_timeout", "8s"},
                                                {"mua", "x $process_name"}};
    struct config_source source = {.dir = dir,
                                   .program = "smtpd",
                                   .overrides = overrides,
                                   .override_count = ARRAY_LEN(overrides)};
    struct err err;
    struct config *cfg;

    (void)state;
    write_main_cf("smtpd_timeout = 1\nsmtpd_banner = $mua\n");
    cfg = config_load(&source, &err);
    assert_non_null(cfg);
    assert_int_equal(cfg->smtpd_timeout, 8);
    assert_int_equal(cfg->smtpd_hard_error_limit, 1);
    assert_string_equal(cfg->smtpd_banner, "x smtpd");
    config_free(cfg);
}

static void raw_fields_stay_unexpanded(void **state)
{
    struct config *cfg = load_ok("smtpd_reject_footer = see $foo\n"
                                 "mailbox_command = /bin/x $USER\n");

    (void)state;
    assert_string_equal(cfg->smtpd_reject_footer, "see $foo");
    assert_string_equal(cfg->postscreen_reject_footer, "see $foo");
    assert_string_equal(cfg->mailbox_command, "/bin/x $USER");
    assert_string_equal(
        cfg->forward_path,
        "$home/.forward${recipient_delimiter}${extension}, $home/.forward");
    config_free(cfg);
}

static void patterned_parameters(void **state)
{
    struct config *cfg = load_ok("foo_destination_recipient_limit = 3\n"
                                 "default_destination_concurrency_limit = 9\n"
                                 "foo_destination_rate_delay = 2m\n");

    (void)state;
    assert_int_equal(config_prefix_int(cfg, "foo", "_destination_recipient_limit"), 3);
    assert_int_equal(config_prefix_int(cfg, "foo", "_destination_concurrency_limit"),
                     9);
    assert_int_equal(config_prefix_int(cfg, "smtp", "_destination_concurrency_limit"),
                     9);
    assert_int_equal(config_prefix_int(cfg, "local", "_destination_concurrency_limit"),
                     2);
    assert_int_equal(config_prefix_int(cfg, "foo", "_destination_rate_delay"), 120);
    assert_int_equal(config_prefix_int(cfg, "foo", "_time_limit"), 1000);
    assert_string_equal(
        config_prefix_str(cfg, "x", "_destination_concurrency_negative_feedback"), "1");
    config_free(cfg);
}

static void types_and_bounds(void **state)
{
    (void)state;
    expect_error("a = b\nfork_attempts = abc\n",
                 "main.cf, line 2: bad numerical configuration: fork_attempts = abc");
    expect_error("fork_attempts = 0\n", "invalid fork_attempts parameter value 0 < 1");
    expect_error("fork_attempts = 12 3\n",
                 "bad numerical configuration: fork_attempts");
    expect_error("fork_attempts = 99999999999999\n", "bad numerical configuration");
    expect_error("delay_logging_resolution_limit = 7\n",
                 "invalid delay_logging_resolution_limit parameter value 7 > 6");
    expect_error("soft_bounce = true\n",
                 "bad boolean configuration: soft_bounce = true");
    expect_error("ipc_timeout = 5x\n",
                 "parameter ipc_timeout: bad time value or unit: 5x");
    expect_error("ipc_timeout = 0\n", "invalid ipc_timeout: 0 (min 1)");
    expect_error("in_flow_delay = 11\n", "invalid in_flow_delay: 11 (max 10)");
    expect_error("myorigin =\n", "bad string length 0 < 1: myorigin = ");
    expect_error("default_verp_delimiters = +==\n",
                 "bad string length 3 > 2: default_verp_delimiters = +==");
    expect_error("x_destination_recipient_limit = no\n",
                 "main.cf, line 1: bad numerical configuration: "
                 "x_destination_recipient_limit = no");
    expect_error("myhostname = a..b\n",
                 "parameter myhostname: bad parameter value: a..b");
    expect_error("compatibility_level = abc\n", "malformed compatibility level syntax");
    expect_error("inet_protocols = ipv5\n", "unknown inet_protocols value \"ipv5\"");
    expect_error("mynetworks_style = bogus\n", "\"bogus\"");
}

static void defaults_that_follow_stay_in_bounds(void **state)
{
    struct config *cfg = load_ok("default_process_limit = 5\n");

    (void)state;
    assert_int_equal(cfg->default_process_limit, 5);
    assert_int_equal(cfg->postscreen_pre_queue_limit, 10);
    config_free(cfg);
    expect_error("postscreen_pre_queue_limit = $default_process_limit\n"
                 "default_process_limit = 5\n",
                 "invalid postscreen_pre_queue_limit parameter value 5 < 10");
}

static void syntax_errors(void **state)
{
    (void)state;
    expect_error("a = b\nfoo\n",
                 "main.cf, line 2: missing '=' after attribute name: \"foo\"");
    expect_error("foo bar = c\n", "line 1: missing '=' after attribute name");
    expect_error("= c\n", "line 1: missing attribute name: \"= c\"");
    expect_error("\n\nmyorigin = ${x\n", "line 3: truncated macro reference: \"${x\"");
    expect_error("myhostname = $myhostname\n",
                 "line 1: unreasonable macro call nesting: \"myhostname\"");
    expect_error("mydestination = $p\np = $q\nq = $p\n",
                 "unreasonable macro call nesting: \"p\"");
    expect_error("myorigin = /nonexistent/mailname\n", "/nonexistent/mailname");
}

/* Each of 40 names means the one before twice: the memory of no machine. */
static void expansions_are_bounded(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    strbuf_add_str(&text, "mydestination = $d40\nd0 = 0123456789\n");
    for (int i = 1; i <= 40; i++)
        strbuf_addf(&text, "d%d = $d%d$d%d\n", i, i - 1, i - 1);
    expect_error(text.ptr, "the expanded text is too long");
    strbuf_free(&text);
}

static void a_missing_file_is_named(void **state)
{
    struct config_source source = {.dir = "/nonexistent"};
    struct err err;

    (void)state;
    assert_null(config_load(&source, &err));
    assert_non_null(strstr(err.text, "/nonexistent/main.cf"));
}

static void networks_follow_interfaces(void **state)
{
    struct config *cfg = load_ok("inet_interfaces = 127.0.0.1\n"
                                 "mynetworks_style = subnet\n");

    (void)state;
    assert_string_equal(cfg->mynetworks, "127.0.0.0/8");
    config_free(cfg);
    cfg = load_ok("inet_interfaces = loopback-only\ninet_protocols = ipv4\n"
                  "mynetworks_style = host\n");
    assert_string_equal(cfg->mynetworks, "127.0.0.1/32");
    config_free(cfg);
}

static void every_field_has_its_default(void **state)
{
    struct config *cfg = load_ok("");

    (void)state;
    for (size_t i = 0; i < param_count; i++) {
        const struct param_row *row = &param_table[i];
        const char *const *field = (void *)((char *)cfg + row->offset);

        if (row->kind != PARAM_STR && row->kind != PARAM_RAW)
            continue;
        assert_non_null(*field);
        if (!strchr(row->text, '$') && !(row->flags & PARAM_COMPUTED) &&
            strcmp(row->name, "config_directory") != 0)
            assert_string_equal(*field, row->text);
    }
    config_free(cfg);
}

static void collect(void *arg, const char *name, const char *text)
{
    strbuf_addf(arg, "%s: %s\n", name, text);
}

static void every_error_is_reported(void **state)
{
    struct config_source source = {.dir = dir, .program = "postfix"};
    struct strbuf all = STRBUF_INIT;
    struct config *cfg;
    struct err err;

    (void)state;
    write_main_cf("smtpd_timeout = soon\nmynetworks = ${broken\nmyhostname = -\n"
                  "header_size_limit = 0\nx_destination_recipient_limit = many\n");
    cfg = config_load_all(&source, collect, &all, &err);
    assert_non_null(cfg);
    assert_non_null(
        strstr(all.ptr, "smtpd_timeout: parameter smtpd_timeout: bad time"));
    assert_non_null(strstr(all.ptr, "mynetworks: "));
    assert_non_null(strstr(all.ptr, "header_size_limit: invalid"));
    assert_non_null(strstr(all.ptr, "x_destination_recipient_limit: bad numerical"));
    assert_non_null(strstr(all.ptr, "myhostname: "));
    assert_int_equal(cfg->smtpd_timeout, 300);
    assert_int_equal(cfg->header_size_limit, 102400);
    assert_int_equal(config_line(cfg, "mynetworks"), 2);
    assert_int_equal(config_line(cfg, "mydomain"), 0);
    config_free(cfg);
    strbuf_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_the_fields),
        cmocka_unit_test(level_changes_defaults),
        cmocka_unit_test(settings_and_user_parameters),
        cmocka_unit_test(overrides_win),
        cmocka_unit_test(raw_fields_stay_unexpanded),
        cmocka_unit_test(patterned_parameters),
        cmocka_unit_test(types_and_bounds),
        cmocka_unit_test(defaults_that_follow_stay_in_bounds),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(expansions_are_bounded),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(networks_follow_interfaces),
        cmocka_unit_test(every_field_has_its_default),
        cmocka_unit_test(every_error_is_reported),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
