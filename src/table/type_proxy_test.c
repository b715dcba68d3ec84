/* The client of proxymap against a small server in another process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table/proxy.h"
#include "table/table.h"
#include "util/frame.h"
#include "util/net.h"

static char dir[] = "/tmp/type_proxy_test.XXXXXX";
static pid_t server;

static const char *param(void *arg, const char *name)
{
    (void)arg;
    if (strcmp(name, "queue_directory") == 0)
        return dir;
    return strcmp(name, "ipc_timeout") == 0 ? "5s" : NULL;
}
static const struct table_env env = {.param = param};

static void add_entry(struct strbuf *out, const char *key)
{
    size_t mark = frame_group_begin(out, "entry");

    frame_str(out, "key", key);
    frame_str(out, "value", "v");
    frame_group_end(out, mark);
}

/* Echoes what it was asked; sequence: two batches. */
static void answer(struct span body, struct strbuf *out)
{
    struct frame_reader r = frame_reader(body);
    struct span kind = frame_want_span(&r, "request");
    struct span table = frame_want_span(&r, "table"), key = frame_opt_span(&r, "key");
    bool is_sequence = span_eq_str(kind, "sequence");
    bool first = frame_opt_num(&r, "cursor", 0) == 0;

    if (span_eq_str(key, "garbage")) {
        frame_str(out, "status", "many");
        return;
    }
    if (span_eq_str(table, "static:refused")) {
        frame_num(out, "status", PROXY_REFUSED);
        return;
    }
    frame_num(out, "status", TABLE_FOUND);
    frame_num(out, "flags", TABLE_PATTERN);
    if (is_sequence) {
        add_entry(out, first ? "one" : "two");
        frame_num(out, "cursor", first ? 7 : 0);
        return;
    }
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "%.*s %.*s %.*s %.*s", SPAN_ARG(kind), SPAN_ARG(table),
                SPAN_ARG(key), SPAN_ARG(frame_opt_span(&r, "value")));
    frame_str(out, "value", text.ptr);
    strbuf_free(&text);
}

static void serve(int fd)
{
    struct strbuf in = STRBUF_INIT, out = STRBUF_INIT;
    struct frame frame;
    char buf[4096];
    size_t used;
    ssize_t got = recv(fd, buf, FRAME_PREAMBLE_LEN, MSG_WAITALL);

    while (got > 0 && (got = recv(fd, buf, sizeof(buf), 0)) > 0) {
        strbuf_add(&in, buf, (size_t)got);
        if (frame_parse(strbuf_span(&in), &frame, &used) != FRAME_COMPLETE)
            continue;
        strbuf_reset(&out);
        struct frame_reader r = frame_reader(frame.body);
        if (span_eq_str(frame_opt_span(&r, "key"), "hangup"))
            break;
        size_t mark = frame_begin(&out, frame.id);
        answer(frame.body, &out);
        frame_end(&out, mark);
        if (send(fd, out.ptr, out.len, MSG_NOSIGNAL) < 0)
            break;
        strbuf_reset(&in);
    }
    strbuf_free(&in);
    strbuf_free(&out);
    close(fd);
}

static int setup(void **state)
{
    char path[200];
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/private", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/private/proxymap", dir);
    int fd = net_listen_unix(path, 0600, SOCK_STREAM, &err);
    snprintf(path, sizeof(path), "%s/private/proxywrite", dir);
    assert_int_equal(symlink("proxymap", path), 0);
    net_set_nonblocking(fd, false);
    server = fork();
    if (server == 0) {
        for (;;) {
            int client = accept(fd, NULL, NULL);
            if (fork() == 0) {
                serve(client);
                _exit(0);
            }
            close(client);
        }
    }
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    char command[200];

    (void)state;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

static struct table *open_ok(const char *name, enum table_mode mode)
{
    struct err err;
    struct table *table = table_open(&env, name, mode, 0, &err);

    if (!table)
        fail_msg("%s", err.text);
    return table;
}

static void requests_carry_what_was_asked(void **state)
{
    struct table *table = open_ok("proxy:inline:{a=b}", TABLE_WRITE);
    struct arena *arena = arena_new();
    const char *value;
    struct err err;

    (void)state;
    assert_int_equal(table_flags(table) & (TABLE_FIXED | TABLE_PATTERN), TABLE_FIXED);
    assert_int_equal(table_lookup(table, SPAN_LIT("KeY"), arena, &value, &err),
                     TABLE_FOUND);
    assert_string_equal(value, "lookup inline:{a=b} KeY ");
    assert_int_equal(table_flags(table) & (TABLE_FIXED | TABLE_PATTERN), TABLE_PATTERN);
    assert_int_equal(table_update(table, SPAN_LIT("k"), SPAN_LIT("v"), &err),
                     TABLE_FOUND);
    assert_int_equal(table_delete(table, SPAN_LIT("k"), &err), TABLE_FOUND);
    table_close(table);
    arena_free(arena);
}

static void walks_take_several_batches(void **state)
{
    struct table *table = open_ok("proxy:lmdb:x", TABLE_READ);
    struct span key, value;
    struct err err;

    (void)state;
    assert_int_equal(table_next(table, true, &key, &value, &err), TABLE_FOUND);
    assert_true(span_eq_str(key, "one"));
    assert_int_equal(table_next(table, false, &key, &value, &err), TABLE_FOUND);
    assert_true(span_eq_str(key, "two") && span_eq_str(value, "v"));
    assert_int_equal(table_next(table, false, &key, &value, &err), TABLE_NOT_FOUND);
    table_close(table);
}

static void bad_servers_mean_later(void **state)
{
    struct table *table = open_ok("proxy:static:x", TABLE_READ);
    struct table *refused = open_ok("proxy:static:refused", TABLE_READ);
    struct arena *arena = arena_new();
    const char *value;
    struct err err;

    (void)state;
    assert_int_equal(table_lookup(table, SPAN_LIT("garbage"), arena, &value, &err),
                     TABLE_RETRY);
    assert_non_null(strstr(err.text, "malformed reply"));
    assert_int_equal(table_lookup(table, SPAN_LIT("hangup"), arena, &value, &err),
                     TABLE_RETRY);
    assert_non_null(strstr(err.text, "problem talking to service"));
    assert_int_equal(table_lookup(table, SPAN_LIT("next"), arena, &value, &err),
                     TABLE_FOUND);
    assert_int_equal(table_lookup(refused, SPAN_LIT("a"), arena, &value, &err),
                     TABLE_BROKEN);
    assert_non_null(strstr(err.text, "proxy_read_maps"));
    table_close(table);
    table_close(refused);
    arena_free(arena);
}

static void names_tell_how_tables_match(void **state)
{
    (void)state;
    assert_int_equal(proxy_guess_flags(SPAN_LIT("regexp:/x")), TABLE_PATTERN);
    assert_int_equal(proxy_guess_flags(SPAN_LIT("debug:unionmap:{static:a,cidr:/x}")),
                     TABLE_PATTERN);
    assert_int_equal(proxy_guess_flags(SPAN_LIT("pipemap:{static:a}")), TABLE_FIXED);
    assert_int_equal(proxy_guess_flags(SPAN_LIT("unionmap:")), TABLE_FIXED);
    assert_int_equal(proxy_guess_flags(SPAN_LIT("nothing")), TABLE_FIXED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_carry_what_was_asked),
        cmocka_unit_test(walks_take_several_batches),
        cmocka_unit_test(bad_servers_mean_later),
        cmocka_unit_test(names_tell_how_tables_match),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
