#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "global/envelope.h"
#include "sendmail/options.h"

#define WORDS_MAX 30

static struct arena *arena;
static struct sendmail_options options;
static struct sendmail_warnings warnings;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* The words are separated by '|', so that they can be empty and hold blanks. */
static bool parse_as(const char *program, const char *words)
{
    char *argv[WORDS_MAX + 2] = {arena_str(arena, program)};
    struct span rest = span_str(words);
    int argc = 1;

    err.text[0] = '\0';
    while (rest.len > 0 && argc < WORDS_MAX)
        argv[argc++] = arena_span_str(arena, span_cut(&rest, '|'));
    return sendmail_options_parse(program, argc, argv, arena, &options, &warnings,
                                  &err);
}

static bool parse(const char *words)
{
    return parse_as("sendmail", words);
}

static void test_modes(void **state)
{
    static const struct {
        const char *words;
        enum sendmail_mode mode;
    } rows[] = {
        {"a@b", MODE_DELIVER},      {"-bm|a@b", MODE_DELIVER},
        {"-b|m|a@b", MODE_DELIVER}, {"-bv|a@b", MODE_VERIFY},
        {"-bs", MODE_SMTP},         {"-bp", MODE_LIST},
        {"-bi", MODE_ALIASES},      {"-I", MODE_ALIASES},
        {"-bd", MODE_DAEMON},       {"-bl", MODE_DAEMON},
        {"-bh", MODE_NOTHING},      {"-bH", MODE_NOTHING},
        {"-q", MODE_FLUSH},         {"-q30m", MODE_NOTHING},
        {"-qIABC", MODE_FLUSH_ID},  {"-qRx.test", MODE_FLUSH_SITE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(parse(rows[i].words));
        assert_int_equal(options.mode, rows[i].mode);
    }
    assert_string_equal(options.argument, "x.test");
    assert_true(parse_as("mailq", ""));
    assert_int_equal(options.mode, MODE_LIST);
    assert_true(parse_as("newaliases", ""));
    assert_int_equal(options.mode, MODE_ALIASES);
}

static void test_refused(void **state)
{
    static const struct {
        const char *words, *text;
    } rows[] = {
        {"-Z|a@b", "usage: sendmail [options]"},
        {"-f", "usage: sendmail [options]"},
        {"-n|a@b", "-n option not supported"},
        {"-bx", "unsupported: -bx"},
        {"-qSx.test", "-qS is not implemented"},
        {"-qI", "specify: -qIqueueid"},
        {"-qR", "specify: -qRsitename"},
        {"-B|9BIT|a@b", "-B option needs 8BITMIME or 7BIT"},
        {"-Xlog|a@b", "unsupported: -Xl"},
        {"-XVab|a@b", "-V requires two characters from -=+"},
        {"-oA|a@b", "-oA requires pathname"},
        {"-bv|-t", "-t option cannot be used with -bv"},
        {"-bv|-v|a@b", "-v option cannot be used with -bv"},
        {"-bp|-t", "-t can be used only in delivery mode"},
        {"-bp|a@b", "display queue mode requires no recipient"},
        {"-q|a@b", "flush queue mode requires no recipient"},
        {"-bs|a@b", "stand-alone mode requires no recipient"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_false(parse(rows[i].words));
        assert_string_equal(err.text, rows[i].text);
    }
}

static void test_delivery(void **state)
{
    (void)state;
    assert_true(parse("-it|-G|-f|a@b|-FFull Name|-B8BITMIME|-N|success,Delay|-R|hdrs|"
                      "-V|id1|-v|c@d|-f|e@f"));
    assert_true(options.extract && options.dots_are_text && options.remote);
    assert_string_equal(options.sender, "a@b");
    assert_string_equal(options.full_name, "Full Name");
    assert_string_equal(options.encoding, "8bit");
    assert_int_equal(options.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
    assert_int_equal(options.ret, RET_HDRS);
    assert_string_equal(options.envid, "id1");
    assert_int_equal(options.verbose, 1);
    assert_string_equal(options.recipients[0], "c@d");
    assert_string_equal(options.recipients[1], "-f"); /* no option behind recipients */
    assert_string_equal(options.recipients[2], "e@f");
    assert_null(options.recipients[3]);
}

static void test_sender_may_be_empty_or_look_like_an_option(void **state)
{
    (void)state;
    assert_true(parse("-f||a@b"));
    assert_string_equal(options.sender, "");
    assert_true(parse("-f|-q|a@b"));
    assert_string_equal(options.sender, "-q");
    assert_int_equal(options.mode, MODE_DELIVER);
}

static void test_bad_dsn_options_are_ignored(void **state)
{
    static const char *const words[] = {"-N|foo|a@b", "-N|never,delay|a@b", "-R|x|a@b"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        assert_true(parse(words[i]));
        assert_int_equal(options.notify, 0);
        assert_int_equal(options.ret, 0);
        assert_true(warnings.count > 0);
        assert_string_equal(options.recipients[0], "a@b");
    }
}

static void test_verp(void **state)
{
    (void)state;
    assert_true(parse("-XV|a@b"));
    assert_true(options.verp);
    assert_null(options.verp_delimiters);
    assert_string_equal(options.recipients[0], "a@b");
    assert_true(parse("-XV=-|a@b"));
    assert_string_equal(options.verp_delimiters, "=-");
    assert_true(parse("-V+=|a@b"));
    assert_string_equal(options.verp_delimiters, "+=");
    assert_null(options.envid);
    assert_int_equal(warnings.count, 1);
}

static void test_message_options(void **state)
{
    (void)state;
    assert_true(parse("-Orequiretls=yes|-O|SMTPUTF8=yes|-Oother=1|a@b"));
    assert_int_equal(options.sendopts, SENDOPT_REQUIRETLS | SENDOPT_SMTPUTF8);
    assert_true(parse("-Orequiretls=yes|-Orequiretls=no|a@b"));
    assert_int_equal(options.sendopts, 0);
    assert_false(parse("-Orequiretls=maybe|a@b"));
}

static void test_options_of_other_systems(void **state)
{
    (void)state;
    assert_true(parse("-Ac|-L|tag|-h|9|-m|-U|-o7|-om|-oem|-c|-p|smtp|-e|m|-x|a@b"));
    assert_int_equal(options.mode, MODE_DELIVER);
    assert_string_equal(options.recipients[0], "a@b");
    assert_false(options.dots_are_text);
    assert_true(parse("-oi|-oA/etc/x|a@b"));
    assert_true(options.dots_are_text);
    assert_string_equal(options.alias_database, "/etc/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_sender_may_be_empty_or_look_like_an_option),
        cmocka_unit_test(test_bad_dsn_options_are_ignored),
        cmocka_unit_test(test_verp),
        cmocka_unit_test(test_message_options),
        cmocka_unit_test(test_options_of_other_systems),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
