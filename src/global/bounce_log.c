#include "global/bounce_log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "global/addr.h"
#include "util/escape.h"
#include "util/file.h"
#include "util/msg.h"
#include "util/offload.h"

/* The largest log that is read: some hundred thousand recipients. */
#define LOG_MAX (256u * 1024 * 1024)

static void add_field(struct strbuf *sb, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    strbuf_addf(sb, "%s=", name);
    escape_printable(sb, span_str(value), '?', true);
    strbuf_add_char(sb, '\n');
}

static void add_legacy_line(struct strbuf *sb, const struct bounce_entry *e)
{
    struct strbuf quoted = STRBUF_INIT;

    addr_quote(&quoted, span_str(e->rcpt.address));
    strbuf_add_char(sb, '<');
    escape_printable(sb, strbuf_span(&quoted), '?', true);
    strbuf_add_str(sb, ">: ");
    escape_printable(sb, span_str(e->dsn.reason), '?', true);
    strbuf_add_char(sb, '\n');
    strbuf_free(&quoted);
}

static void format_entry(const struct config *cfg, const struct bounce_entry *e,
                         struct strbuf *sb)
{
    strbuf_add_char(sb, '\n');
    if (cfg->backwards_bounce_logfile_compatibility)
        add_legacy_line(sb, e);
    add_field(sb, "recipient", *e->rcpt.address ? e->rcpt.address : "<>");
    if (*e->rcpt.orig && strcasecmp(e->rcpt.orig, e->rcpt.address) != 0)
        add_field(sb, "original_recipient", e->rcpt.orig);
    if (e->rcpt.offset > 0)
        strbuf_addf(sb, "offset=%lld\n", (long long)e->rcpt.offset);
    add_field(sb, "dsn_orig_rcpt", e->rcpt.dsn_orcpt);
    if (e->rcpt.notify)
        strbuf_addf(sb, "notify_flags=%d\n", e->rcpt.notify);
    add_field(sb, "status", e->dsn.status);
    add_field(sb, "action", e->dsn.action);
    add_field(sb, "diag_type", e->dsn.diag_type);
    add_field(sb, "diag_text", e->dsn.diag_text);
    add_field(sb, "mta_type", e->dsn.mta_type);
    add_field(sb, "mta_mname", e->dsn.mta_name);
    add_field(sb, "reason", e->dsn.reason);
    strbuf_add_char(sb, '\n');
}

static int open_log(const struct queue *q, const char *log_queue, const char *queue_id,
                    int flags)
{
    char path[QUEUE_PATH_MAX];
    int fd;

    queue_path(q, log_queue, queue_id, path);
    fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == ENOENT && (flags & O_CREAT)) {
        char *slash = strrchr(path, '/');

        /* The hash directory is made when it is first needed. */
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    return fd;
}

bool bounce_log_append(const struct queue *q, const char *log_queue,
                       const char *queue_id, const struct bounce_entry *entry)
{
    struct strbuf sb = STRBUF_INIT;
    int fd = open_log(q, log_queue, queue_id, O_WRONLY | O_APPEND | O_CREAT);
    bool ok;

    if (fd < 0) {
        msg_warn("%s: cannot open %s log: %s", queue_id, log_queue, strerror(errno));
        return false;
    }
    format_entry(q->cfg, entry, &sb);
    ok = file_write_full(fd, sb.ptr, sb.len);
    if (!ok)
        msg_warn("%s: cannot write %s log: %s", queue_id, log_queue, strerror(errno));
    strbuf_free(&sb);
    /* The only record that a recipient was given up must survive a crash: it is
     * marked as done in the queue file next. The defer log is a convenience. */
    if (ok && strcmp(log_queue, QUEUE_DEFER) != 0)
        ok = offload_fsync(fd) == 0;
    close(fd);
    return ok;
}

static const char **text_slot(struct bounce_entry *e, struct span name)
{
    const struct {
        const char *name;
        const char **slot;
    } slots[] = {
        {"recipient", &e->rcpt.address},
        {"original_recipient", &e->rcpt.orig},
        {"dsn_orig_rcpt", &e->rcpt.dsn_orcpt},
        {"action", &e->dsn.action},
        {"diag_type", &e->dsn.diag_type},
        {"diag_text", &e->dsn.diag_text},
        {"mta_type", &e->dsn.mta_type},
        {"mta_mname", &e->dsn.mta_name},
        {"reason", &e->dsn.reason},
    };

    for (size_t i = 0; i < ARRAY_LEN(slots); i++)
        if (span_eq_str(name, slots[i].name))
            return slots[i].slot;
    return NULL;
}

static void parse_field(struct bounce_entry *e, struct span line, struct arena *arena)
{
    struct span value = line;
    struct span name = span_cut(&value, '=');
    const char **slot;
    int64_t number = 0;

    if (!value.ptr)
        return;
    slot = text_slot(e, name);
    if (slot)
        *slot = arena_span_str(arena, value);
    else if (span_eq_str(name, "status"))
        dsn_status_parse(value, e->dsn.status);
    else if (span_eq_str(name, "offset") && span_i64(value, &number))
        e->rcpt.offset = number;
    else if (span_eq_str(name, "notify_flags") && span_i64(value, &number))
        e->rcpt.notify = (int)(number & 15);
}

static struct bounce_entry blank_entry(void)
{
    struct bounce_entry e = {.rcpt = {.address = "", .orig = "", .dsn_orcpt = ""},
                             .dsn = {.status = "5.0.0",
                                     .action = "failed",
                                     .reason = "",
                                     .diag_type = "",
                                     .diag_text = "",
                                     .mta_type = "",
                                     .mta_name = ""}};

    return e;
}

static void finish_entry(struct bounce_entry *e)
{
    if (strcmp(e->rcpt.address, "<>") == 0)
        e->rcpt.address = "";
    if (!*e->rcpt.orig)
        e->rcpt.orig = e->rcpt.address;
}

/* Records are groups of lines between empty lines. */
static size_t parse_log(struct span text, struct arena *arena,
                        struct bounce_entry *entries)
{
    size_t count = 0;
    bool open = false;

    while (text.len > 0) {
        struct span line = span_cut(&text, '\n');

        if (line.len == 0) {
            open = false;
            continue;
        }
        if (!open) {
            open = true;
            if (entries)
                entries[count] = blank_entry();
            count++;
        }
        if (entries)
            parse_field(&entries[count - 1], line, arena);
    }
    for (size_t i = 0; entries && i < count; i++)
        finish_entry(&entries[i]);
    return count;
}

bool bounce_log_read(const struct queue *q, const char *log_queue, const char *queue_id,
                     struct arena *arena, struct bounce_entry **entries_out,
                     size_t *count_out)
{
    char path[QUEUE_PATH_MAX];
    struct strbuf sb = STRBUF_INIT;
    struct span text;
    struct err err;

    queue_path(q, log_queue, queue_id, path);
    if (access(path, F_OK) < 0)
        return false;
    if (!file_read_all(path, LOG_MAX, &sb, &err)) {
        msg_warn("%s: %s", queue_id, err.text);
        strbuf_free(&sb);
        return false;
    }
    text = arena_span(arena, strbuf_span(&sb));
    strbuf_free(&sb);
    *count_out = parse_log(text, arena, NULL);
    *entries_out = arena_alloc(arena, (*count_out + 1) * sizeof **entries_out);
    parse_log(text, arena, *entries_out);
    return true;
}

void bounce_log_remove(const struct queue *q, const char *log_queue,
                       const char *queue_id)
{
    if (queue_remove(q, log_queue, queue_id) < 0 && errno != ENOENT)
        msg_warn("%s: remove %s log: %s", queue_id, log_queue, strerror(errno));
}
