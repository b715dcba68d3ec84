#include "smtp-sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/escape.h"
#include "util/msg.h"
#include "util/timefmt.h"

struct sink_dump {
    FILE *file;
};

/* The template is a strftime() format; single files get their id behind it. */
static void dump_path(struct sink *sink, uint32_t id, char *path, size_t size)
{
    time_t now = time_now();
    struct tm tm;
    size_t len;

    localtime_r(&now, &tm);
    len = strftime(path, size - 32, sink->opt.dump_template, &tm);
    if (len == 0)
        msg_fatal("bad dump template: %s", sink->opt.dump_template);
    if (!sink->opt.dump_append)
        snprintf(path + len, size - len, "%08x", (unsigned)id);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            msg_fatal("mkdir %s: %s", path, strerror(errno));
        *slash = '/';
    }
}

static FILE *open_file(struct sink *sink, uint32_t *id_out)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
    char path[1024];
    int fd;

    flags |= sink->opt.dump_append ? O_APPEND : O_EXCL;
    do {
        if (getrandom(id_out, sizeof *id_out, 0) != sizeof *id_out)
            *id_out = (uint32_t)random();
        *id_out &= INT32_MAX;
        dump_path(sink, *id_out, path, sizeof path);
        fd = open(path, flags, 0644);
        if (fd < 0 && errno == ENOENT) {
            make_parents(path);
            fd = open(path, flags, 0644);
        }
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0)
        msg_fatal("open %s: %s", path, strerror(errno));
    return fdopen(fd, sink->opt.dump_append ? "a" : "w");
}

static void put_args(FILE *file, const char *label, struct span args)
{
    struct strbuf clean = STRBUF_INIT;

    escape_printable(&clean, args, '?', true);
    fprintf(file, "%s: %s\n", label, clean.ptr);
    strbuf_free(&clean);
}

/* The envelope in front of the message, as headers. */
static void put_envelope(FILE *file, struct sink *sink, const struct sink_envelope *env,
                         uint32_t id)
{
    struct strbuf date = STRBUF_INIT;
    struct span rcpts = strbuf_span(&env->rcpts);

    fprintf(file, "X-Client-Addr: %s\nX-Client-Proto: %s\n", env->client, env->proto);
    put_args(file, "X-Helo-Args", strbuf_span(&env->helo));
    put_args(file, "X-Mail-Args", strbuf_span(&env->mail));
    while (rcpts.len > 0)
        put_args(file, "X-Rcpt-Args", span_cut(&rcpts, '\n'));
    time_rfc5322(&date, time_now());
    fprintf(file,
            "Received: from %s ([%s])\n\tby %s (smtp-sink) with %s id %08x;\n\t%s\n",
            env->helo.len ? env->helo.ptr : "unknown", env->client, sink->opt.hostname,
            env->proto, (unsigned)id, date.ptr);
    strbuf_free(&date);
}

struct sink_dump *sink_dump_open(struct sink *sink, const struct sink_envelope *env)
{
    struct sink_dump *dump;
    uint32_t id;

    if (!sink->opt.dump_template)
        return NULL;
    dump = xcalloc(1, sizeof *dump);
    dump->file = open_file(sink, &id);
    if (!dump->file)
        msg_fatal("open dump file: %s", strerror(errno));
    if (sink->opt.dump_header)
        fputs(sink->opt.dump_header, dump->file);
    put_envelope(dump->file, sink, env, id);
    return dump;
}

void sink_dump_line(struct sink_dump *dump, struct span line, bool complete)
{
    if (!dump)
        return;
    fwrite(line.ptr, 1, line.len, dump->file);
    if (complete)
        fputc('\n', dump->file);
}

void sink_dump_close(struct sink_dump *dump)
{
    if (!dump)
        return;
    fputc('\n', dump->file);
    if (ferror(dump->file) | fclose(dump->file))
        msg_warn("write dump file: %s", strerror(errno));
    free(dump);
}
