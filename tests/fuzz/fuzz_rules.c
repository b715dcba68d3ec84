/* Rule tables: any text and any keys. What the index and the filter answer must be what
 * single-rule tables answer, asked one after another. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table/table.h"
#include "util/base.h"
#include "util/msg.h"

#define RULES_MAX 12

static struct table *open_text(const char *kind, struct span text)
{
    char name[64];
    struct err err;
    int fd = memfd_create("rules", 0);

    if (fd < 0 || write(fd, text.ptr ? text.ptr : "", text.len) != (ssize_t)text.len)
        panic("no memory for the rules");
    snprintf(name, sizeof(name), "%s:/proc/self/fd/%d", kind, fd);
    struct table *table = table_open(NULL, name, TABLE_READ, 0, &err);
    close(fd);
    return table;
}

/* The rules can be asked one by one when none spans lines, or other rules. */
static bool is_simple(struct span text)
{
    size_t lines = 0;

    while (text.len > 0) {
        struct span line = span_cut(&text, '\n');
        struct span word = span_ltrim(line);
        if ((line.len > 0 && ascii_space(line.ptr[0])) ||
            span_istarts(word, SPAN_LIT("if")) ||
            span_istarts(word, SPAN_LIT("endif")) || ++lines > RULES_MAX)
            return false;
    }
    return true;
}

static enum table_status ask(struct table *table, struct span key, struct arena *arena,
                             const char **value_out)
{
    struct err err;

    return table_lookup(table, key, arena, value_out, &err);
}

static void compare(const char *kind, struct span text, struct span key,
                    enum table_status status, const char *value, struct arena *arena)
{
    while (text.len > 0) {
        const char *single = NULL;
        struct table *table = open_text(kind, span_cut(&text, '\n'));
        enum table_status found =
            table ? ask(table, key, arena, &single) : TABLE_NOT_FOUND;
        table_close(table);
        if (found != TABLE_FOUND)
            continue;
        if (status != TABLE_FOUND || strcmp(value, single) != 0)
            panic("the table does not answer as its rules");
        return;
    }
    if (status != TABLE_NOT_FOUND)
        panic("the table answers what no rule does");
}

/* Repetition of repetition takes the C library ages and all memory, which is between it
 * and the operator who writes it. */
static bool is_too_costly(const char *kind, struct span text)
{
    ssize_t brace = span_chr(text, '{');

    return strcmp(kind, "cidr") != 0 && brace >= 0 &&
           (kind[0] == 'r' || span_chr(span_skip(text, (size_t)brace + 1), '{') >= 0);
}

/* First byte: the kind; then rules up to a NUL, and keys, one a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {"cidr", "regexp", "pcre"};
    int asked = 0;

    if (size < 2 || size > 2000)
        return 0;
    const char *kind = kinds[data[0] % ARRAY_LEN(kinds)];
    struct span keys = span_of((const char *)data + 1, size - 1);
    struct span text = span_cut(&keys, '\0');
    if (is_too_costly(kind, text))
        return 0;
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    struct table *table = open_text(kind, text);
    if (!table)
        return 0;
    struct arena *arena = arena_new();
    while (keys.len > 0 && ++asked < 8) {
        const char *value = NULL;
        struct span key = span_first(span_cut(&keys, '\n'), 40);
        enum table_status status = ask(table, key, arena, &value);
        if (is_simple(text))
            compare(kind, text, key, status, value, arena);
    }
    arena_free(arena);
    table_close(table);
    return 0;
}
