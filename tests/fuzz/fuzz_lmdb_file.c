/* An index file as somebody else left it: opened, looked up in, and walked through.
 * Every operation ends with a result; the walk ascends, so it ends as well. The number
 * of pages in a file of this size bounds what it can hold. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/table.h"
#include "util/base.h"
#include "util/msg.h"

#define SIZE_LIMIT (128 * 1024)

static char path[64], name[80];

static void remove_file(void)
{
    unlink(path);
}

static void prepare(void)
{
    int fd;

    if (path[0])
        return;
    snprintf(path, sizeof(path), "/dev/shm/fuzz_lmdb.XXXXXX.lmdb");
    fd = mkstemps(path, 5);
    if (fd < 0) {
        snprintf(path, sizeof(path), "/tmp/fuzz_lmdb.XXXXXX.lmdb");
        fd = mkstemps(path, 5);
    }
    if (fd < 0)
        panic("no file to work with");
    close(fd);
    snprintf(name, sizeof(name), "lmdb:%.*s", (int)(strlen(path) - 5), path);
    atexit(remove_file);
    msg_set_sink(MSG_SINK_FILE, "/dev/null");
}

static void write_image(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        panic("cannot write %s", path);
    close(fd);
}

static void look(struct table *table, struct span key)
{
    struct arena *arena = arena_new();
    const char *value;
    struct err err;

    table_lookup(table, key, arena, &value, &err);
    arena_free(arena);
}

/* Keys take two bytes at least, and pages may be shared. */
static void walk(struct table *table, size_t size)
{
    struct span key, value;
    struct err err;
    size_t steps = 0;

    while (table_next(table, steps == 0, &key, &value, &err) == TABLE_FOUND) {
        if (++steps > size * 4)
            panic("there is no end to it");
        if (steps % 16 == 1)
            look(table, key);
    }
}

static void change(struct table *table)
{
    struct err err;

    table_update(table, SPAN_LIT("k5"), SPAN_LIT("changed"), &err);
    table_delete(table, SPAN_LIT("k17"), &err);
}

/* The last byte: whether the file is also written to, where that is sound. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"", "k0", "k5", "k17", "k99", "a", "zzz", "K5"};
    struct err err;

    if (size > SIZE_LIMIT)
        return 0;
    prepare();
    write_image(data, size);
    struct table *table = table_open(NULL, name, TABLE_READ, 0, &err);
    if (table) {
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            look(table, span_str(keys[i]));
        walk(table, size);
        table_close(table);
    }
    if (size == 0 || data[size - 1] % 4 != 3)
        return 0;
    table = table_open(NULL, name, TABLE_WRITE, TABLE_REPLACE_DUP, &err);
    if (table)
        change(table);
    table_close(table);
    return 0;
}
