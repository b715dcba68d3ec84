#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/rec.h"
#include "sendmail/compose.h"

#define LIMIT 20 /* line_length_limit of the tests */

struct fixture {
    struct config cfg;
    struct sendmail_options options;
    struct envelope_source env;
    struct strbuf records; /* what the sink has got */
    struct strbuf text;    /* the same as text, see show() */
};

static const char *const no_recipients[] = {NULL};
static const char *const one_recipient[] = {"r@x", NULL};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);

    f->cfg.line_length_limit = LIMIT;
    f->cfg.sendmail_fix_line_endings = "always";
    f->cfg.default_verp_delimiters = "+=";
    f->env = (struct envelope_source){"s@x", "Name", one_recipient, 1};
    strbuf_init(&f->records);
    strbuf_init(&f->text);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    strbuf_free(&f->records);
    strbuf_free(&f->text);
    free(f);
    return 0;
}

static void extract_only(struct fixture *f)
{
    f->options.extract = true;
    f->env.recipients = no_recipients;
    f->env.recipient_count = 0;
}

static bool sink_write(void *arg, struct span records)
{
    strbuf_add_span(arg, records);
    return true;
}

/* Records as "Type:data" with '/' behind each, from the first of the given type on. */
static const char *show(struct fixture *f, int from)
{
    struct span rest = strbuf_span(&f->records), data;
    bool on = false;
    int type;

    strbuf_reset(&f->text);
    while ((type = rec_next(&rest, &data)) >= 0) {
        on = on || type == from;
        if (on)
            strbuf_addf(&f->text, "%c:%.*s/", type, SPAN_ARG(data));
    }
    assert_int_equal(type, REC_EOF);
    return f->text.ptr;
}

static enum compose_result run(struct fixture *f, struct span input)
{
    struct record_sink sink = {sink_write, &f->records};
    enum compose_result result;
    struct input in;
    FILE *file = tmpfile();

    assert_non_null(file);
    if (input.len > 0)
        assert_int_equal(fwrite(input.ptr, 1, input.len, file), input.len);
    assert_int_equal(fflush(file), 0);
    lseek(fileno(file), 0, SEEK_SET);
    strbuf_reset(&f->records);
    input_init(&in, fileno(file));
    result = compose(&f->cfg, &f->options, &f->env, &in, &sink);
    input_free(&in);
    fclose(file);
    return result;
}

static const char *content(struct fixture *f, struct span input)
{
    assert_int_equal(run(f, input), COMPOSE_OK);
    return show(f, REC_MESSAGE);
}

#define assert_content(f, input, expected)                                             \
    assert_string_equal(content(f, SPAN_LIT(input)), "M:/" expected "X:/E:/")

static void test_envelope(void **state)
{
    struct fixture *f = *state;

    f->options.envid = "id";
    f->options.ret = 1;
    f->options.notify = 10;
    f->options.verbose = 1;
    f->options.encoding = "8bit";
    f->options.verp = true;
    assert_int_equal(run(f, SPAN_EMPTY), COMPOSE_OK);
    assert_string_equal(
        show(f, REC_ATTR),
        "A:envelope_id=id/A:ret_flags=1/A:rewrite_context=local/F:Name/"
        "S:s@x/A:trace_flags=1024/A:encoding=8bit/V:+=/A:notify_flags=10/"
        "R:r@x/M:/X:/E:/");
}

static void test_lines(void **state)
{
    struct fixture *f = *state;

    assert_content(f, "a\n\nb\n", "N:a/N:/N:b/");
    assert_content(f, "no end", "N:no end/");
    assert_content(f, "12345678901234567890\n", "N:12345678901234567890/");
    assert_content(f, "123456789012345678901\n", "L:12345678901234567890/N:1/");
    assert_content(f, "", "");
}

static void test_line_ends(void **state)
{
    struct fixture *f = *state;

    assert_content(f, "a\r\nb\r\r\nc\rd\n", "N:a/N:b/N:c\rd/");
    assert_content(f, "1234567890123456789\r\n", "N:1234567890123456789/");
    assert_content(f, "12345678901234567890\r\nx\n", "L:12345678901234567890/N:/N:x/");
    f->cfg.sendmail_fix_line_endings = "never";
    assert_content(f, "a\r\nb\n", "N:a\r/N:b/");
    f->cfg.sendmail_fix_line_endings = "strict";
    assert_content(f, "a\r\nb\r\n", "N:a/N:b/");
    assert_content(f, "a\nb\r\n", "N:a/N:b\r/");
}

static void test_dot_ends_the_message(void **state)
{
    struct fixture *f = *state;

    assert_content(f, "a\n.\nb\n", "N:a/");
    assert_content(f, "a\n.\r\nb\n", "N:a/");
    assert_content(f, ".x\n..\n. \n", "N:.x/N:../N:. /");
    assert_content(f, "12345678901234567890.\nb\n", "L:12345678901234567890/N:./N:b/");
    f->options.dots_are_text = true;
    assert_content(f, "a\n.\nb\n", "N:a/N:./N:b/");
}

static void test_mailbox_separators_are_dropped(void **state)
{
    struct fixture *f = *state;

    assert_content(f, "From a Mon\n>From b\n>>From c\nTo: x\nFrom d\n",
                   "N:To: x/N:From d/");
    assert_content(f, "From: a\n", "N:From: a/");
}

static void test_nul_bytes_stay(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, SPAN_LIT("a\0b\n")), COMPOSE_OK);
    assert_non_null(memmem(f->records.ptr, f->records.len, "N\003a\0b", 5));
}

static void test_recipients_of_headers(void **state)
{
    struct fixture *f = *state;

    extract_only(f);
    assert_string_equal(
        content(f, SPAN_LIT("To: a@x,\n \"b c\"@x\nCC : <d@x>\nBcc: e@x\n"
                            "From: f@x\n\nTo: g@x\n")),
        "M:/N:To: a@x,/N: \"b c\"@x/N:CC : <d@x>/N:Bcc: e@x/N:From: f@x/"
        "N:/N:To: g@x/X:/R:a@x/R:b c@x/R:d@x/R:e@x/E:/");
}

static void test_resent_headers_win(void **state)
{
    struct fixture *f = *state;

    extract_only(f);
    assert_non_null(strstr(content(f, SPAN_LIT("To: a@x\nResent-To: b@x\nCc: c@x\n")),
                           "X:/R:b@x/E:/"));
}

static void test_long_header(void **state)
{
    struct fixture *f = *state;

    extract_only(f);
    assert_non_null(
        strstr(content(f, SPAN_LIT("To: aaaaaaaaaaaaaaaaaaaaaaaaa@x, b@x\n")),
               "X:/R:aaaaaaaaaaaaaaaaaaaaaaaaa@x/R:b@x/E:/"));
}

static void test_header_ends_at_other_text(void **state)
{
    struct fixture *f = *state;

    extract_only(f);
    assert_non_null(
        strstr(content(f, SPAN_LIT("To: a@x\nno header\nTo: b@x\n")), "X:/R:a@x/E:/"));
    assert_int_equal(run(f, SPAN_LIT("\nTo: a@x\n")), COMPOSE_NO_RECIPIENTS);
    assert_int_equal(run(f, SPAN_LIT("To: undisclosed:;\n")), COMPOSE_NO_RECIPIENTS);
    assert_null(strstr(show(f, REC_MESSAGE), "E:"));
}

static void test_probe(void **state)
{
    static const char *const two[] = {"a@x", "b c@x", NULL};
    struct fixture *f = *state;

    f->options.mode = MODE_VERIFY;
    f->env.recipients = two;
    f->env.recipient_count = 2;
    assert_content(f, "unread\n",
                   "N:From: s@x/N:Subject: probe/N:To:/N:\ta@x,/"
                   "N:\t\"b c\"@x/");
}

static bool sink_fails(void *arg, struct span records)
{
    (void)arg;
    (void)records;
    return false;
}

static void test_write_error(void **state)
{
    struct fixture *f = *state;
    struct record_sink sink = {sink_fails, NULL};
    struct input in;

    input_init(&in, -1);
    assert_int_equal(compose(&f->cfg, &f->options, &f->env, &in, &sink),
                     COMPOSE_READ_ERROR);
    input_free(&in);
    f->options.mode = MODE_VERIFY;
    input_init(&in, -1);
    assert_int_equal(compose(&f->cfg, &f->options, &f->env, &in, &sink),
                     COMPOSE_WRITE_ERROR);
    input_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_envelope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_line_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dot_ends_the_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mailbox_separators_are_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nul_bytes_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recipients_of_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resent_headers_win, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_header_ends_at_other_text, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_probe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_error, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
