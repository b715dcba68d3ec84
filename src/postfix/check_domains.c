/* Domains that are in more than one class: the first class wins, and recipients of the
 * others are never looked for. */
#include "global/mail_table.h"
#include "global/match_list.h"
#include "postfix/check.h"
#include "util/file.h"

#define FILE_MAX  (4u << 20)
#define NAMES_MAX 20000

/* In the order in which mail is classified. */
static const struct class_row {
    const char *parameter;
    enum match_kind kind;
} classes[] = {
    {"mydestination", MATCH_STRING},
    {"virtual_alias_domains", MATCH_STRING},
    {"virtual_mailbox_domains", MATCH_STRING},
    {"relay_domains", MATCH_STRING},
};
#define CLASS_COUNT ARRAY_LEN(classes)

struct names {
    struct span list[NAMES_MAX];
    size_t count;
};

static void add_names(struct check *check, struct names *names, struct span text,
                      bool follow);

static void add_file(struct check *check, struct names *names, const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct span rest, line;
    struct err err;

    if (file_read_all(path, FILE_MAX, &text, &err)) {
        rest = arena_span(check->arena, strbuf_span(&text));
        while (rest.ptr) {
            line = span_trim(span_cut(&rest, '\n'));
            if (line.len && line.ptr[0] != '#')
                add_names(check, names, line, false);
        }
    }
    strbuf_free(&text);
}

/* Domains of a table that can be listed. */
static void add_table(struct check *check, struct names *names, const char *name)
{
    struct table *table;
    struct span key, value;
    struct err err;

    if (strncmp(name, "texthash:", 9) != 0 && strncmp(name, "lmdb:", 5) != 0 &&
        strncmp(name, "hash:", 5) != 0 && strncmp(name, "btree:", 6) != 0 &&
        strncmp(name, "inline:", 7) != 0)
        return;
    table = table_open(mail_table_env_as_is(check->cfg), name, TABLE_READ,
                       mail_table_flags(check->cfg), &err);
    for (bool first = true; table && names->count < NAMES_MAX &&
                            table_next(table, first, &key, &value, &err) == TABLE_FOUND;
         first = false)
        if (key.len && span_chr(key, '@') < 0 && span_chr(key, '.') > 0)
            names->list[names->count++] = arena_span(check->arena, key);
    table_close(table);
}

static void add_names(struct check *check, struct names *names, struct span text,
                      bool follow)
{
    struct span word;

    while (table_next_element(&text, &word) && names->count < NAMES_MAX) {
        if (word.ptr[0] == '!')
            continue;
        if (word.ptr[0] == '/' && follow)
            add_file(check, names, arena_span_str(check->arena, word));
        else if (span_chr(word, ':') > 0)
            add_table(check, names, arena_span_str(check->arena, word));
        else if (word.ptr[0] != '/')
            names->list[names->count++] = word;
    }
}

/* By default relay_domains follows mydestination at old levels, on purpose. */
static bool follows_default(const struct check *check, const char *parameter)
{
    return config_line(check->cfg, parameter) == 0;
}

/* Look-ups may need a server, which may be slow or away. */
static bool asks_server(struct span word)
{
    struct span name = word, type = span_cut(&name, ':');

    return name.ptr && (!check_table_is_local(type) || span_eq_str(type, "pipemap") ||
                        span_eq_str(type, "unionmap"));
}

/* What can be looked into of a list. */
static const char *local_part(const struct check *check, const char *list)
{
    struct span rest = span_str(list), word;
    const char *kept = "";

    while (table_next_element(&rest, &word)) {
        bool negated = word.ptr[0] == '!';

        if (!asks_server(negated ? span_skip(word, 1) : word))
            kept = arena_printf(check->arena, "%s %.*s", kept, SPAN_ARG(word));
        else if (negated)
            return "";
    }
    return kept;
}

static void compare(struct check *check, const struct names *names, size_t first,
                    size_t second)
{
    const char *a = classes[first].parameter, *b = classes[second].parameter;
    struct match_list *list = match_list_open(
        check->cfg, b, local_part(check, view_value(&check->views[0], b)),
        classes[second].kind);

    for (size_t i = 0; i < names->count; i++)
        if (match_list_find(list, names->list[i]) == MATCH_YES)
            check_found(check, at_main(check, follows_default(check, b) ? a : b),
                        "domain %.*s is in both %s and %s", SPAN_ARG(names->list[i]), a,
                        b);
    match_list_close(list);
}

static void several_classes(struct check *check)
{
    struct names *names = arena_alloc(check->arena, sizeof *names);

    for (size_t i = 0; i < CLASS_COUNT; i++) {
        names->count = 0;
        add_names(check, names,
                  span_str(view_value(&check->views[0], classes[i].parameter)), true);
        for (size_t j = i + 1; j < CLASS_COUNT; j++)
            if (strcmp(classes[j].parameter, "relay_domains") != 0 ||
                !follows_default(check, "relay_domains"))
                compare(check, names, i, j);
    }
}

const struct check_rule check_domain_rules[] = {
    {"domain-classes", CHECK_WARNING, 0, several_classes,
     "only the first class counts, and recipients of the other one do not exist",
     "leave the domain in one of them"},
    {.code = NULL},
};
