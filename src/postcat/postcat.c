/* postcat(1): show a queue file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "global/queue.h"
#include "global/rec.h"
#include "master/service_log.h"
#include "util/msg.h"

#define USAGE "usage: postcat [-b] [-c config_dir] [-d] [-e] [-f] [-h] [-o] [-q] [-r] " \
              "[-s offset] [-v] [file(s)...]"

struct options {
    bool envelope, headers, body; /* what to show; none given: all */
    bool decimal_type, offsets, by_id, raw, file_prefix;
    int64_t start;
};

enum part { PART_ENVELOPE, PART_HEADERS, PART_BODY, PART_EXTRACTED };

struct view {
    const struct options *opt;
    const char *path;
    enum part part;
    int64_t data_offset; /* from the size record; -1 unknown */
    bool line_open;      /* inside a content line that came in pieces */
};

static const struct {
    int type;
    const char *text;
} record_names[] = {
    {REC_SIZE, "message_size"},
    {REC_TIME, "message_arrival_time"},
    {REC_CTIME, "queue_file_create_time"},
    {REC_FULL_NAME, "sender_fullname"},
    {REC_INSPECT, "content_inspector"},
    {REC_FILTER_OR_CONT, "content_filter"},
    {REC_SENDER, "sender"},
    {REC_DONE, "recipient_completed"},
    {REC_RCPT, "recipient"},
    {REC_ORIG_RCPT, "original_recipient"},
    {REC_CANCELLED, "canceled_recipient"},
    {REC_WARN_TIME, "warning_message_time"},
    {REC_ATTR, "named_attribute"},
    {REC_KILLED, "killed_record"},
    {REC_REDIRECT, "redirect_to"},
    {REC_FLAGS, "message_flags"},
    {REC_DELAY, "message_delay"},
    {REC_MESSAGE, "message_content"},
    {REC_LINE, "regular_text"},
    {REC_PADDING, "padding"},
    {REC_EXTRACTED, "extracted_info"},
    {REC_RETURN_RECEIPT, "return_receipt"},
    {REC_ERRORS_TO, "errors_to"},
    {REC_PRIORITY, "priority"},
    {REC_POINTER, "pointer_record"},
    {REC_VERP, "verp_delimiters"},
    {REC_DSN_RET, "dsn_ret_flags"},
    {REC_DSN_ENVID, "dsn_envelope_id"},
    {REC_DSN_ORCPT, "dsn_original_recipient"},
    {REC_DSN_NOTIFY, "dsn_notify_flags"},
    {REC_MILTER_COUNT, "milter_count"},
    {REC_END, "message_file_end"},
};

static const char *record_name(int type)
{
    for (size_t i = 0; i < ARRAY_LEN(record_names); i++)
        if (record_names[i].type == type)
            return record_names[i].text;
    return "unknown_record_type";
}

static bool shows_all(const struct options *opt)
{
    return !opt->envelope && !opt->headers && !opt->body;
}

static void put_prefix(const struct view *v, int type, int64_t offset)
{
    if (v->opt->file_prefix)
        printf("%s: ", v->path);
    if (v->opt->offsets)
        printf("%9lld ", (long long)offset);
    if (v->opt->decimal_type)
        printf("%3d ", type);
}

static void put_data(struct span data)
{
    fwrite(data.ptr, 1, data.len, stdout);
}

static void put_marker(const struct view *v, int type, int64_t offset, const char *name)
{
    if (!shows_all(v->opt) && !v->opt->envelope)
        return;
    put_prefix(v, type, offset);
    printf("*** %s %s ***\n", name, v->path);
}

static void put_time(struct span seconds)
{
    int64_t value = 0;
    char text[64];
    time_t when;
    struct tm tm;

    span_i64(span_trim(seconds), &value);
    when = (time_t)value;
    strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", localtime_r(&when, &tm));
    puts(text);
}

static void put_record(const struct view *v, int type, struct span data, int64_t offset)
{
    struct span rest = data, name = span_cut(&rest, '=');

    put_prefix(v, type, offset);
    if (type == REC_TIME || type == REC_WARN_TIME) {
        printf("%s: ", record_name(type));
        rest = span_trim(data);
        put_time(span_cut(&rest, ' '));
    } else if (type == REC_ATTR && rest.ptr && span_eq_str(name, "create_time")) {
        printf("create_time: ");
        put_time(rest);
    } else {
        printf("%s: ", record_name(type));
        put_data(data);
        putchar('\n');
    }
}

/* -- content -- */

static void put_content(struct view *v, int type, struct span data, int64_t offset)
{
    bool starts = !v->line_open;

    v->line_open = type == REC_FILTER_OR_CONT;
    if (v->part == PART_HEADERS && starts && data.len == 0 && type == REC_LINE)
        v->part = PART_BODY;
    if (!shows_all(v->opt) && !(v->part == PART_HEADERS ? v->opt->headers : v->opt->body))
        return;
    if (starts || v->opt->decimal_type || v->opt->offsets)
        put_prefix(v, type, offset);
    put_data(data);
    if (type == REC_LINE || v->opt->decimal_type || v->opt->offsets)
        putchar('\n');
}

static bool is_content(int type)
{
    return type == REC_LINE || type == REC_FILTER_OR_CONT;
}

static void note_size(struct view *v, struct span data)
{
    struct span rest = data, field;

    if (span_token(&rest, " ", &field) && span_token(&rest, " ", &field))
        span_i64(field, &v->data_offset);
}

/* One record in logical order. False: the end. */
static bool show_record(struct view *v, int type, struct span data, int64_t offset)
{
    switch (type) {
    case REC_MESSAGE:
        put_marker(v, type, offset, "MESSAGE CONTENTS");
        v->part = PART_HEADERS;
        return true;
    case REC_EXTRACTED:
        put_marker(v, type, offset, "HEADER EXTRACTED");
        v->part = PART_EXTRACTED;
        return true;
    case REC_END:
        put_marker(v, type, offset, "MESSAGE FILE END");
        return false;
    case REC_SIZE:
        note_size(v, data);
        break;
    }
    if ((v->part == PART_HEADERS || v->part == PART_BODY) && is_content(type))
        put_content(v, type, data, offset);
    else if (type == REC_POINTER || type == REC_PADDING) {
        if (v->opt->raw || msg_verbose)
            put_record(v, type, data, offset);
    } else if (shows_all(v->opt) || v->opt->envelope) {
        put_record(v, type, data, offset);
    }
    return true;
}

static bool show_raw(struct view *v, int type, struct span data, int64_t offset)
{
    put_record(v, type, data, offset);
    return type != REC_END;
}

/* A queue file starts with a size, time or (from old systems) attribute record. */
static bool starts_like_queue_file(int type)
{
    return type == REC_SIZE || type == REC_TIME || type == REC_FULL_NAME ||
           type == REC_ATTR || type == REC_SENDER;
}

static void show_file(const struct options *opt, const char *path, int fd)
{
    struct view v = {.opt = opt, .path = path, .data_offset = -1};
    struct rec_reader reader;
    struct span data;
    bool first = true;
    int type;

    rec_reader_init(&reader, fd);
    reader.follow_pointers = !opt->raw;
    if (opt->start > 0)
        rec_reader_seek(&reader, opt->start);
    if (!opt->start)
        put_marker(&v, 0, 0, "ENVELOPE RECORDS");
    while ((type = rec_read(&reader, &data)) >= 0) {
        if (first && opt->start == 0 && !starts_like_queue_file(type))
            break;
        first = false;
        if (!(opt->raw ? show_raw : show_record)(&v, type, data, reader.offset))
            break;
    }
    if (first)
        msg_warn("%s: input is not a valid queue file", path);
    else if (type == REC_BROKEN)
        msg_fatal("record read error in %s at offset %lld", path,
                  (long long)reader.next);
    else if (type == REC_EOF && !opt->raw)
        msg_warn("%s: unexpected end of file", path);
    rec_reader_free(&reader);
}

static int open_by_id(const struct queue *q, const char *id, char path[QUEUE_PATH_MAX])
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_HOLD,   QUEUE_INCOMING,
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

    while ((c = getopt(argc, argv, "bc:defhoqrs:v")) != -1) {
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
    if (opt.by_id) {
        cfg = config_load(&source, &err);
        if (!cfg)
            msg_fatal("%s", err.text);
        if (chdir(cfg->queue_directory) < 0)
            msg_fatal("queue_directory %s: %s", cfg->queue_directory, strerror(errno));
        queue_init(&queue, cfg, arena);
    }
    if (optind == argc)
        show_file(&opt, "stdin", STDIN_FILENO);
    for (int i = optind; i < argc; i++)
        show_argument(&opt, &queue, argv[i]);
    if (fflush(stdout) != 0)
        msg_fatal("write error on standard output: %s", strerror(errno));
    arena_free(arena);
    config_free(cfg);
    return 0;
}
