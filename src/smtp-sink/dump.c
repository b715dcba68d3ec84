#include "smtp-sink/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/timefmt.h"

struct sink_dump {
    FILE *file;
};

/* The template is a strftime() format; single files get a number behind it. */
static void dump_path(struct sink *sink, char *path, size_t size)
{
    time_t now = time_now();
    struct tm tm;
    size_t len;

    localtime_r(&now, &tm);
    len = strftime(path, size - 32, sink->opt.dump_template, &tm);
    if (len == 0)
        msg_fatal("bad dump template: %s", sink->opt.dump_template);
    if (!sink->opt.dump_append)
        snprintf(path + len, size - len, "%08x.%06u", (unsigned)getpid(),
                 ++sink->dump_sequence);
}

struct sink_dump *sink_dump_open(struct sink *sink)
{
    struct sink_dump *dump;
    char path[1024];

    if (!sink->opt.dump_template)
        return NULL;
    dump_path(sink, path, sizeof path);
    dump = xcalloc(1, sizeof *dump);
    dump->file = fopen(path, sink->opt.dump_append ? "a" : "w");
    if (!dump->file)
        msg_fatal("open %s: %s", path, strerror(errno));
    if (sink->opt.dump_header)
        fprintf(dump->file, "%s\n", sink->opt.dump_header);
    return dump;
}

void sink_dump_line(struct sink_dump *dump, struct span line)
{
    if (!dump)
        return;
    fwrite(line.ptr, 1, line.len, dump->file);
    fputc('\n', dump->file);
}

void sink_dump_close(struct sink_dump *dump)
{
    if (!dump)
        return;
    if (ferror(dump->file) | fclose(dump->file))
        msg_warn("write dump file: %s", strerror(errno));
    free(dump);
}
