/* postcat(1): show queue files. */
#include "postcat/postcat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/queue.h"
#include "util/msg.h"

#define USAGE                                                                          \
    "usage: postcat [-b] [-c config_dir] [-d] [-e] [-f] [-h] [-o] [-q] [-r] "          \
    "[-s offset] [-v] [file(s)...]"

/* Standard input may be a pipe, but records are found by their offsets. */
static int seekable_stdin(void)
{
    char buf[65536];
    ssize_t got;
    FILE *copy;

    if (lseek(STDIN_FILENO, 0, SEEK_CUR) >= 0)
        return STDIN_FILENO;
    copy = tmpfile();
    if (!copy)
        msg_fatal("temporary file: %s", strerror(errno));
    while ((got = read(STDIN_FILENO, buf, sizeof buf)) > 0)
        if (fwrite(buf, 1, (size_t)got, copy) != (size_t)got)
            msg_fatal("write temporary file: %s", strerror(errno));
    if (got < 0 || fflush(copy) != 0)
        msg_fatal("read standard input: %s", strerror(errno));
    return fileno(copy);
}

static void show_file(const struct options *opt, const char *path, int fd)
{
    bool ok = view_file(opt, path, fd);

    if (fflush(stdout) != 0 || ferror(stdout))
        msg_fatal("write error on standard output: %s", strerror(errno));
    if (!ok)
        msg_fatal("record read error");
}

static int open_by_id(const struct queue *q, const char *id, char path[QUEUE_PATH_MAX])
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_HOLD,     QUEUE_INCOMING,
                                         QUEUE_ACTIVE,   QUEUE_DEFERRED, QUEUE_CORRUPT};

    if (!queue_id_valid(span_str(id)))
        msg_fatal("bad mail queue ID: %s", id);
    /* The message may move while we look: two rounds. */
    for (size_t i = 0; i < 2 * ARRAY_LEN(queues); i++) {
        const char *name = queues[i % ARRAY_LEN(queues)];
        int fd = queue_open(q, name, id, O_RDONLY);

        queue_path(q, name, id, path);
        if (fd >= 0)
            return fd;
    }
    msg_fatal("open queue file %s: %s", id, strerror(errno));
}

static void show_argument(const struct options *opt, const struct queue *q,
                          const char *arg)
{
    char path[QUEUE_PATH_MAX];
    int fd;

    if (opt->by_id) {
        fd = open_by_id(q, arg, path);
        show_file(opt, path, fd);
    } else {
        fd = open(arg, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            msg_fatal("open %s: %s", arg, strerror(errno));
        show_file(opt, arg, fd);
    }
    close(fd);
}

static void parse(int argc, char **argv, struct options *opt,
                  struct config_source *source)
{
    int c;

    while ((c = getopt(argc, argv, "+bc:defhoqrs:v")) != -1) {
        switch (c) {
        case 'b':
            opt->body = true;
            break;
        case 'c':
            source->dir = optarg;
            break;
        case 'd':
            opt->decimal_type = true;
            break;
        case 'e':
            opt->envelope = true;
            break;
        case 'f':
            opt->file_prefix = true;
            break;
        case 'h':
            opt->headers = true;
            break;
        case 'o':
            opt->offsets = true;
            break;
        case 'q':
            opt->by_id = true;
            break;
        case 'r':
            opt->raw = true;
            break;
        case 's':
            if (!span_i64(span_str(optarg), &opt->start) || opt->start < 0)
                msg_fatal("bad offset: %s", optarg);
            break;
        case 'v':
            msg_verbose++;
            break;
        default:
            msg_fatal(USAGE);
        }
    }
}

int main(int argc, char **argv)
{
    struct config_source source = {.program = "postcat"};
    struct options opt = {0};
    struct arena *arena = arena_new();
    struct config *cfg = NULL;
    struct queue queue;
    struct err err;

    msg_init("postcat");
    parse(argc, argv, &opt, &source);
    if (!opt.envelope && !opt.headers && !opt.body)
        opt.envelope = opt.headers = opt.body = true;
    if (opt.by_id) {
        cfg = config_load(&source, &err);
        if (!cfg)
            msg_fatal("%s", err.text);
        if (chdir(cfg->queue_directory) < 0)
            msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
        queue_init(&queue, cfg, arena);
    }
    if (optind == argc)
        show_file(&opt, "stdin", seekable_stdin());
    for (int i = optind; i < argc; i++)
        show_argument(&opt, &queue, argv[i]);
    arena_free(arena);
    config_free(cfg);
    return 0;
}
