/* Queue files from anywhere: records in memory, the reader with its pointers, the
 * envelope whole and in batches, and its way through a frame. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "global/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_memory(struct span input)
{
    struct span data;

    while (rec_next(&input, &data) >= 0)
        ;
}

static void through_frame(const struct envelope *env, struct arena *arena)
{
    struct strbuf sb = STRBUF_INIT;
    struct envelope copy;
    const char *missing;

    envelope_to_frame(env, &sb);
    if (!envelope_from_frame(strbuf_span(&sb), arena, &copy, &missing) ||
        copy.rcpt_len != env->rcpt_len)
        abort();
    strbuf_free(&sb);
}

static size_t read_batches(int fd, size_t max_rcpts, struct arena *arena)
{
    struct envelope env;
    size_t count = 0;
    int64_t from = 0, before;
    const char *why;

    do {
        before = from;
        if (envelope_read(fd, max_rcpts, from, arena, &env, &why) != ENVELOPE_OK)
            return SIZE_MAX;
        count += env.rcpt_len;
        from = env.next_rcpt_offset;
        if (max_rcpts && env.rcpt_len > max_rcpts)
            abort();
        if (before == 0)
            through_frame(&env, arena);
    } while (from > before);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena;
    int fd;

    walk_memory(span_of((const char *)data, size));
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    arena = arena_new();
    read_batches(fd, 0, arena);
    read_batches(fd, 2, arena);
    arena_free(arena);
    close(fd);
    return 0;
}
