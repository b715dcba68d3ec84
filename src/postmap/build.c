#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "postmap/postmap.h"
#include "table/source.h"
#include "util/escape.h"
#include "util/file.h"
#include "util/msg.h"

#define SOURCE_MAX ((size_t)1 << 30)
#define VALUE_MAX  ((size_t)64 << 20)

struct build {
    const struct postmap *pm;
    struct table *table;
    const char *path; /* of the source, for messages */
    int line;
};

static void skip(const struct build *b, const char *why)
{
    msg_warn("%s, line %d: %s", b->path, b->line, why);
}

/* -F: the value lists files; the table gets their content. */
static bool read_value_files(const struct build *b, struct span names,
                             struct strbuf *value)
{
    struct strbuf content = STRBUF_INIT;
    struct span name;
    struct err err;
    bool ok = true;

    while (ok && span_token(&names, ", \t\r\n", &name)) {
        char *path = xstrndup(name.ptr, name.len);
        ok = file_read_all(path, VALUE_MAX, &content, &err);
        free(path);
    }
    if (ok)
        base64_encode(value, strbuf_span(&content));
    else
        msg_warn("%s, line %d: %s: skipping this entry", b->path, b->line, err.text);
    strbuf_free(&content);
    return ok;
}

static void add_entry(const struct build *b, struct span key, struct span value)
{
    struct strbuf content = STRBUF_INIT;
    struct err err;

    if (b->pm->files_as_values) {
        if (!read_value_files(b, value, &content)) {
            strbuf_free(&content);
            return;
        }
        value = strbuf_span(&content);
    }
    enum table_status status = table_update(b->table, key, value, &err);
    if (status == TABLE_RETRY || status == TABLE_BROKEN) {
        table_close(b->table); /* takes the half-built file away */
        msg_fatal("%s, line %d: %s", b->path, b->line, err.text);
    }
    strbuf_free(&content);
}

static void add_map_line(const struct build *b, struct span line)
{
    struct span key, value;
    struct err err;

    if (source_split_map(line, &key, &value, &err) == SOURCE_MALFORMED) {
        skip(b, err.text);
        return;
    }
    if (key.ptr[key.len - 1] == ':')
        skip(b, "record is in \"key: value\" format; is this an alias file?");
    add_entry(b, key, value);
}

static void add_alias_line(const struct build *b, struct span line)
{
    struct strbuf key = STRBUF_INIT;
    struct span value;
    struct err err;

    if (source_split_alias(line, &key, &value, &err) == SOURCE_MALFORMED)
        skip(b, err.text);
    else
        add_entry(b, strbuf_span(&key), value);
    strbuf_free(&key);
}

static bool acceptable(const struct build *b, struct span line)
{
    if (!b->pm->check_utf8 || span_is_utf8(line))
        return true;
    struct strbuf shown = STRBUF_INIT;
    escape_printable(&shown, line, '?', false);
    msg_warn("%s, line %d: non-UTF-8 input \"%.100s\" -- ignoring this line", b->path,
             b->line, shown.ptr);
    strbuf_free(&shown);
    return false;
}

static void add_all(struct build *b, struct span text)
{
    struct source src;
    struct span line;

    source_init(&src, b->path, text);
    while (source_line(&src, &line)) {
        b->line = src.line;
        if (!acceptable(b, line))
            continue;
        if (b->pm->is_alias)
            add_alias_line(b, line);
        else
            add_map_line(b, line);
    }
    source_free(&src);
}

static void read_fd(int fd, const char *path, struct strbuf *text)
{
    char buf[65536];
    ssize_t count;

    while ((count = read(fd, buf, sizeof(buf))) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            msg_fatal("read %s: %s", path, strerror(errno));
        if (text->len + (size_t)count > SOURCE_MAX)
            msg_fatal("%s is larger than %zu bytes", path, SOURCE_MAX);
        strbuf_add(text, buf, (size_t)count);
    }
}

/* In a directory of the owner of the source work as that owner, who could otherwise
 * make root write elsewhere. */
static void become_owner(const char *path, const struct stat *source)
{
    char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    struct stat st;

    if (slash)
        slash[slash == dir] = '\0';
    bool theirs = stat(slash ? dir : ".", &st) == 0 && st.st_uid == source->st_uid;
    free(dir);
    if (!theirs || source->st_uid == 0 || geteuid() != 0)
        return;
    if (setegid(source->st_gid) < 0 || seteuid(source->st_uid) < 0)
        msg_fatal("become owner of %s: %s", path, strerror(errno));
}

static const char *path_of(const char *name)
{
    return strchr(name, ':') + 1;
}

static struct table *open_table(const struct postmap *pm, const char *name,
                                enum table_mode mode)
{
    struct err err;
    struct table *table = table_open(pm->env, name, mode, pm->flags, &err);

    if (!table)
        msg_fatal("%s", err.text);
    return table;
}

/* A source that changes while it is read would give half a table. */
static void read_source(int fd, const char *path, struct strbuf *text, struct stat *st)
{
    struct stat after;

    for (;;) {
        strbuf_reset(text);
        if (fstat(fd, st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
            msg_fatal("%s: %s", path, strerror(errno));
        read_fd(fd, path, text);
        if (fstat(fd, &after) < 0 || (after.st_mtim.tv_sec == st->st_mtim.tv_sec &&
                                      after.st_size == st->st_size &&
                                      after.st_mtim.tv_nsec == st->st_mtim.tv_nsec))
            return;
        sleep(1);
    }
}

void postmap_build(const struct postmap *pm, const char *name)
{
    struct build b = {.pm = pm, .path = path_of(name)};
    struct strbuf text = STRBUF_INIT;
    struct span type = span_of(name, (size_t)(b.path - 1 - name));
    struct stat st;
    struct err err;

    if (!table_type_is_buildable(type))
        msg_fatal(
            "unsupported dictionary type: %.*s does not support bulk-mode creation.",
            SPAN_ARG(type));
    int fd = open(b.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        msg_fatal("open %s: %s", b.path, strerror(errno));
    read_source(fd, b.path, &text, &st);
    close(fd);
    if (!pm->keep_root)
        become_owner(b.path, &st);
    b.table = open_table(pm, name, TABLE_CREATE);
    add_all(&b, strbuf_span(&text));
    if (pm->is_alias) /* marks a complete alias file, as NIS has it */
        add_entry(&b, SPAN_LIT("@"), SPAN_LIT("@"));
    if (!table_inherit(b.table, &st, geteuid() == 0, !pm->drop_mode, &err) ||
        !table_commit(b.table, &err)) {
        table_close(b.table);
        msg_fatal("%s", err.text);
    }
    table_close(b.table);
    strbuf_free(&text);
}

void postmap_add_stdin(const struct postmap *pm, const char *name)
{
    struct build b = {.pm = pm, .path = "stdin"};
    struct strbuf text = STRBUF_INIT;
    struct err err;

    b.table = open_table(pm, name, TABLE_WRITE);
    read_fd(STDIN_FILENO, b.path, &text);
    if (!table_lock(b.table, &err))
        msg_fatal("%s", err.text);
    add_all(&b, strbuf_span(&text));
    if (!table_unlock(b.table, &err))
        msg_fatal("%s", err.text);
    table_close(b.table);
    strbuf_free(&text);
}
