#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "global/rec.h"

static int memory_file(const struct strbuf *sb)
{
    int fd = memfd_create("rec", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, sb->ptr, sb->len), (ssize_t)sb->len);
    return fd;
}

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 70000, REC_LEN_MAX};
    struct strbuf sb = STRBUF_INIT, text = STRBUF_INIT;
    struct span input, data;

    (void)state;
    strbuf_reserve(&text, REC_LEN_MAX);
    memset(text.ptr, 'x', REC_LEN_MAX);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        rec_add(&sb, REC_LINE, span_of(text.ptr, sizes[i]));
    input = strbuf_span(&sb);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(rec_next(&input, &data), REC_LINE);
        assert_int_equal(data.len, sizes[i]);
    }
    assert_int_equal(rec_next(&input, &data), REC_EOF);
    strbuf_free(&sb);
    strbuf_free(&text);
}

static void test_bytes(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    char line[200];

    (void)state;
    memset(line, 'a', sizeof line);
    rec_add(&sb, REC_MESSAGE, SPAN_EMPTY);
    rec_addf(&sb, REC_TIME, "%d %d", 12, 34);
    rec_add_attr(&sb, "name", SPAN_LIT("value"));
    rec_add(&sb, REC_LINE, span_of(line, 200));
    assert_memory_equal(sb.ptr, "M\0T\00512 34A\012name=valueN\310\001aaaa", 27);
    strbuf_free(&sb);
}

static void test_long_lines(void **state)
{
    struct strbuf sb = STRBUF_INIT;

    (void)state;
    rec_add_line(&sb, SPAN_LIT("0123456789"), 4);
    rec_add_line(&sb, SPAN_LIT("0123"), 4);
    rec_add_line(&sb, SPAN_EMPTY, 4);
    assert_int_equal(sb.len, 24);
    assert_memory_equal(sb.ptr, "L\0040123L\0044567N\00289N\0040123N\0", 24);
    strbuf_free(&sb);
}

static void test_broken(void **state)
{
    static const struct span bad[] = {
        SPAN_LIT("N"),
        SPAN_LIT("N\005abc"),
        SPAN_LIT("N\200"),
        SPAN_LIT("N\377\377\377\377\377\001x"), /* too many length bytes */
        SPAN_LIT("N\201\200\200\001"),          /* 2 MiB and more */
    };
    struct strbuf sb = STRBUF_INIT;
    struct rec_reader r;
    struct span data;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct span input = bad[i];
        int fd;

        assert_int_equal(rec_next(&input, &data), REC_BROKEN);
        strbuf_reset(&sb);
        strbuf_add_span(&sb, bad[i]);
        fd = memory_file(&sb);
        rec_reader_init(&r, fd);
        assert_int_equal(rec_read(&r, &data), REC_BROKEN);
        rec_reader_free(&r);
        close(fd);
    }
    strbuf_free(&sb);
}

static void test_reader(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    struct rec_reader r;
    struct span data;
    int fd;

    (void)state;
    for (int i = 0; i < 5000; i++)
        rec_addf(&sb, REC_LINE, "line %d", i);
    fd = memory_file(&sb);
    rec_reader_init(&r, fd);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(rec_read(&r, &data), REC_LINE);
        assert_true(span_starts(data, SPAN_LIT("line ")));
        assert_int_equal(sb.ptr[r.offset], REC_LINE);
    }
    assert_int_equal(rec_read(&r, &data), REC_EOF);
    rec_reader_seek(&r, 8);
    assert_int_equal(rec_read(&r, &data), REC_LINE);
    assert_true(span_eq_str(data, "line 1"));
    assert_int_equal(r.offset, 8);
    rec_reader_free(&r);
    close(fd);
    strbuf_free(&sb);
}

static void test_pointers(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    struct rec_reader r;
    struct span data;
    int fd;

    (void)state;
    rec_addf(&sb, REC_POINTER, "%15d", 0);  /* 0: a dummy */
    rec_addf(&sb, REC_POINTER, "%15d", 37); /* 17: over the next one */
    rec_add_str(&sb, REC_LINE, "a");        /* 34 */
    rec_add_str(&sb, REC_LINE, "b");        /* 37 */
    rec_addf(&sb, REC_POINTER, "%15d", 34); /* 40: back, for ever */
    fd = memory_file(&sb);
    rec_reader_init(&r, fd);
    assert_int_equal(rec_read(&r, &data), REC_LINE);
    assert_true(span_eq_str(data, "b"));
    for (int i = 0; i < 20 && rec_read(&r, &data) != REC_BROKEN; i++)
        assert_in_range(i, 0, 10);
    rec_reader_seek(&r, 40);
    r.follow_pointers = false;
    assert_int_equal(rec_read(&r, &data), REC_POINTER);
    rec_reader_free(&r);
    close(fd);
    strbuf_free(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_reader),     cmocka_unit_test(test_pointers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
