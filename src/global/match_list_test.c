#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <unistd.h>

#include "global/addr_find.h"
#include "global/mail_table.h"

static char dir[] = "/tmp/match_list_test.XXXXXX";
static struct config *cfg;
static struct arena *arena;

static const char *write_file(const char *name, const char *text)
{
    char *path = arena_printf(arena, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

struct probe {
    const char *text;
    enum match_result result;
};

static void check(const char *name, const char *list_text, enum match_kind kind,
                  const struct probe *probes, size_t count)
{
    struct match_list *list = match_list_open(cfg, name, list_text, kind);

    for (size_t i = 0; i < count; i++) {
        struct net_addr addr;
        struct span text = span_str(probes[i].text);
        enum match_result result =
            kind == MATCH_HOST && net_addr_parse(text, 0, &addr)
                ? match_list_find_host(list, SPAN_LIT("unknown"), &addr)
                : match_list_find(list, text);
        if (result != probes[i].result)
            fail_msg("%s in %s: %d", probes[i].text, list_text, result);
    }
    match_list_close(list);
}

static void strings_match_whole(void **state)
{
    static const struct probe probes[] = {
        {"example.com", MATCH_YES},  {"EXAMPLE.com", MATCH_YES},
        {"a.example.com", MATCH_NO}, {"t.example", MATCH_YES},
        {"x.t.example", MATCH_NO},   {"", MATCH_NO},
    };

    (void)state;
    check("mydestination", "example.com, inline:{ t.example=x, {a=b c} }", MATCH_STRING,
          probes, ARRAY_LEN(probes));
}

static void first_match_decides(void **state)
{
    static const struct probe probes[] = {
        {"a.example", MATCH_NO}, {"b.example", MATCH_YES}, {"c.example", MATCH_NO}};

    (void)state;
    check("x", "!a.example a.example b.example !static:all c.example", MATCH_STRING,
          probes, ARRAY_LEN(probes));
}

static void parents_match_where_configured(void **state)
{
    static const struct probe with[] = {
        {"example.com", MATCH_YES},     {"a.example.com", MATCH_YES},
        {"b.a.example.com", MATCH_YES}, {"notexample.com", MATCH_NO},
        {"a.t.example", MATCH_YES},     {"t.example", MATCH_YES},
    };
    static const struct probe without[] = {
        {"example.com", MATCH_YES},   {"a.example.com", MATCH_NO},
        {"a.dot.example", MATCH_YES}, {"dot.example", MATCH_NO},
        {"b.a.t.example", MATCH_YES}, {"t.example", MATCH_NO},
    };

    (void)state;
    check("relay_domains", "example.com inline:{t.example=x}", MATCH_DOMAIN, with,
          ARRAY_LEN(with));
    check("other", "example.com .dot.example inline:{.t.example=x}", MATCH_DOMAIN,
          without, ARRAY_LEN(without));
}

static void files_are_read_with_their_sign(void **state)
{
    static const struct probe probes[] = {
        {"a.example", MATCH_YES}, {"b.example", MATCH_NO}, {"c.example", MATCH_YES}};
    const char *yes =
        write_file("yes", "# comment\na.example\n\n  c.example b.example\n");
    const char *no = write_file("no", "b.example\n");

    (void)state;
    check("x", arena_printf(arena, "!%s %s", no, yes), MATCH_STRING, probes,
          ARRAY_LEN(probes));
}

static void trouble_is_no_silent_no(void **state)
{
    static const struct probe probes[] = {{"a.example", MATCH_YES},
                                          {"b.example", MATCH_RETRY}};

    (void)state;
    check("x", "a.example /nonexistent/file", MATCH_STRING, probes, ARRAY_LEN(probes));
    check("x", "a.example lmdb:/nonexistent/file", MATCH_STRING, probes,
          ARRAY_LEN(probes));
}

static void networks_and_names(void **state)
{
    static const struct probe probes[] = {
        {"192.0.2.77", MATCH_YES},    {"192.0.2.1", MATCH_NO},
        {"192.0.3.1", MATCH_NO},      {"::1", MATCH_YES},
        {"2001:db8:1::5", MATCH_YES}, {"2001:db9::5", MATCH_NO},
        {"198.51.100.7", MATCH_YES},  {"host.example", MATCH_YES},
        {"203.0.113.9", MATCH_YES},   {"a.host.example", MATCH_YES},
    };

    (void)state;
    check("mynetworks",
          "!192.0.2.1 192.0.2.0/24 [::1]/128 [2001:db8::]/32 198.51.100.7 host.example "
          "cidr:{{203.0.113.0/28 ok}}",
          MATCH_HOST, probes, ARRAY_LEN(probes));
}

static void our_own_addresses_and_domains(void **state)
{
    struct err err;
    struct local_host *lh = local_host_open(cfg, &err);
    struct net_addr addr;

    (void)state;
    assert_non_null(lh);
    assert_int_equal(local_host_is_local(lh, SPAN_LIT("Here.Example.")), MATCH_YES);
    assert_int_equal(local_host_is_local(lh, SPAN_LIT("there.example")), MATCH_NO);
    assert_int_equal(local_host_is_local(lh, SPAN_LIT("[127.0.0.1]")), MATCH_YES);
    assert_int_equal(local_host_is_local(lh, SPAN_LIT("[192.0.2.9]")), MATCH_YES);
    assert_int_equal(local_host_is_local(lh, SPAN_LIT("[192.0.2.10]")), MATCH_NO);
    assert_true(net_addr_parse(SPAN_LIT("192.0.2.9"), 25, &addr));
    assert_false(local_host_owns(lh, &addr));
    assert_true(local_host_is_proxy(lh, &addr));
    local_host_close(lh);
}

struct find_case {
    const char *address, *value, *extension;
};

static void addresses_are_found_by_partial_keys(void **state)
{
    static const struct find_case cases[] = {
        {"full+e@a.example", "1", ""},
        {"full+x@a.example", "2", "+x"},
        {"full@a.example", "2", ""},
        {"Joe+x@here.example", "3", "+x"},
        {"joe@there.example", NULL, ""},
        {"any+x@at.example", "4", "+x"},
        {"joe+ext@here.example", "5", ""},
        {"a b@q.example", "6", ""},
        {"joe", "3", ""},
        {"joe+y", "3", "+y"},
        {"", NULL, ""},
    };
    char path[] = "/tmp/match_list_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && dprintf(fd, "\"a b\"@q.example 6\n") > 0 && close(fd) == 0);
    struct maps *maps =
        mail_maps(cfg, "test",
                  arena_printf(arena,
                               "inline:{full+e@a.example=1 full@a.example=2 joe=3 "
                               "@at.example=4 joe+ext=5} texthash:%s",
                               path));
    unlink(path);
    struct err err;
    struct local_host *lh = local_host_open(cfg, &err);
    struct addr_finder finder = {cfg, lh};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *value;
        struct span ext;
        enum table_status status = addr_find(&finder, maps, span_str(cases[i].address),
                                             ADDR_FIND_DEFAULT, arena, &value, &ext);
        if (status != (cases[i].value ? TABLE_FOUND : TABLE_NOT_FOUND) ||
            (value && strcmp(value, cases[i].value) != 0) ||
            !span_eq_str(ext, cases[i].extension))
            fail_msg("%s: %d %s %.*s", cases[i].address, status, value ? value : "",
                     SPAN_ARG(ext));
    }
    maps_close(maps);
    local_host_close(lh);
}

static void results_expand_to_addresses(void **state)
{
    struct maps *maps =
        mail_maps(cfg, "test",
                  "inline:{ {list@x.example=a@b.example, \"c d\"@e.example, f} "
                  "{@old.example=@new.example} }");
    struct addr_finder finder = {cfg, NULL};
    struct addr_list list;

    (void)state;
    assert_int_equal(addr_map(&finder, maps, SPAN_LIT("list+e@x.example"),
                              ADDR_FIND_DEFAULT, true, arena, &list),
                     TABLE_FOUND);
    assert_int_equal(list.count, 3);
    assert_true(span_eq_str(list.list[0], "a+e@b.example"));
    assert_true(span_eq_str(list.list[1], "c d+e@e.example"));
    assert_true(span_eq_str(list.list[2], "f+e"));
    assert_int_equal(addr_map(&finder, maps, SPAN_LIT("u+e@old.example"),
                              ADDR_FIND_DEFAULT, true, arena, &list),
                     TABLE_FOUND);
    assert_int_equal(list.count, 1);
    assert_true(span_eq_str(list.list[0], "u+e@new.example"));
    assert_true(addr_map_propagates(cfg, "virtual"));
    assert_false(addr_map_propagates(cfg, "alias"));
    maps_close(maps);
}

static int setup(void **state)
{
    struct config_source source = {.dir = dir, .program = "test"};
    struct err err;

    (void)state;
    arena = arena_new();
    if (!mkdtemp(dir))
        return -1;
    write_file("main.cf",
               "myhostname = h.example\nmydestination = here.example\n"
               "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
               "proxy_interfaces = 192.0.2.9\nrecipient_delimiter = +\n"
               "parent_domain_matches_subdomains = relay_domains, mynetworks\n");
    cfg = config_load(&source, &err);
    if (!cfg)
        fprintf(stderr, "%s\n", err.text);
    return cfg ? 0 : -1;
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    config_free(cfg);
    arena_free(arena);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_match_whole),
        cmocka_unit_test(first_match_decides),
        cmocka_unit_test(parents_match_where_configured),
        cmocka_unit_test(files_are_read_with_their_sign),
        cmocka_unit_test(trouble_is_no_silent_no),
        cmocka_unit_test(networks_and_names),
        cmocka_unit_test(our_own_addresses_and_domains),
        cmocka_unit_test(addresses_are_found_by_partial_keys),
        cmocka_unit_test(results_expand_to_addresses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
