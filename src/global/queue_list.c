#include "global/queue_list.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/addr.h"
#include "global/bounce_log.h"
#include "util/escape.h"
#include "util/msg.h"

struct walk {
    const struct queue *q;
    struct arena *arena;
    const char *queue_name;
    bool (*visit)(void *arg, const struct queue_list_entry *entry);
    void *arg;
    bool stopped;
};

struct logs {
    struct bounce_entry *defer, *bounce;
    size_t defer_count, bounce_count;
};

/* -- recipients with their reasons -- */

struct pending {
    const struct recipient *rcpt;
    bool listed;
};

static int by_offset(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;

    return (x->rcpt->offset > y->rcpt->offset) - (x->rcpt->offset < y->rcpt->offset);
}

static struct pending *sorted_recipients(struct walk *w, const struct envelope *env)
{
    struct pending *list = arena_alloc(w->arena, (env->rcpt_len + 1) * sizeof *list);

    for (size_t i = 0; i < env->rcpt_len; i++)
        list[i] = (struct pending){.rcpt = &env->rcpts[i]};
    qsort(list, env->rcpt_len, sizeof *list, by_offset);
    return list;
}

static struct pending *find_pending(struct pending *list, size_t len, int64_t offset)
{
    struct recipient wanted = {.offset = offset};
    struct pending key = {.rcpt = &wanted};

    return bsearch(&key, list, len, sizeof *list, by_offset);
}

/* Texts of other systems go to a terminal and into JSON. */
static const char *clean_reason(struct walk *w, const char *reason)
{
    struct strbuf sb = STRBUF_INIT;
    const char *clean;

    escape_printable(&sb, span_str(reason), '?', true);
    clean = arena_span_str(w->arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return clean;
}

/* Logs hold addresses in their external form. */
static const char *internal(struct walk *w, const char *external)
{
    struct strbuf sb = STRBUF_INIT;
    const char *address;

    addr_unquote(&sb, span_str(external));
    address = arena_span_str(w->arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return address;
}

static void add_logged(struct walk *w, struct queue_list_entry *entry,
                       const struct bounce_entry *log, const char *log_class)
{
    entry->rcpts[entry->rcpt_len++] = (struct queue_list_rcpt){
        internal(w, log->rcpt.address), internal(w, log->rcpt.orig), log_class,
        clean_reason(w, log->dsn.reason)};
}

/* In the order of the logs, so that those that failed together stand together; then
 * those that are not in a log. */
static void list_recipients(struct walk *w, const struct envelope *env,
                            const struct logs *logs, struct queue_list_entry *entry)
{
    struct pending *pending = sorted_recipients(w, env);

    entry->rcpts = arena_alloc(
        w->arena, (env->rcpt_len + logs->bounce_count + logs->defer_count + 1) *
                      sizeof *entry->rcpts);
    for (size_t i = 0; i < logs->bounce_count; i++)
        add_logged(w, entry, &logs->bounce[i], "bounce");
    for (size_t i = 0; i < logs->defer_count; i++) {
        struct pending *p =
            find_pending(pending, env->rcpt_len, logs->defer[i].rcpt.offset);

        if (!p)
            continue; /* not one of those that wait */
        p->listed = true;
        add_logged(w, entry, &logs->defer[i], "defer");
    }
    for (size_t i = 0; i < env->rcpt_len; i++) {
        const struct recipient *rcpt = &env->rcpts[i];

        if (!find_pending(pending, env->rcpt_len, rcpt->offset)->listed)
            entry->rcpts[entry->rcpt_len++] =
                (struct queue_list_rcpt){rcpt->address, rcpt->orig, "", ""};
    }
}

static bool is_maildrop(const struct walk *w)
{
    return strcmp(w->queue_name, QUEUE_MAILDROP) == 0;
}

static bool read_message(struct walk *w, const char *path, struct envelope *env,
                         struct stat *st)
{
    enum envelope_status status;
    const char *why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return false;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || !(st->st_mode & 0100)) {
        close(fd);
        return false;
    }
    status = envelope_read(fd, 0, 0, w->arena, env, &why);
    close(fd);
    if (status == ENVELOPE_CORRUPT && msg_verbose)
        msg_warn("%s: %s", path, why);
    return status == ENVELOPE_OK;
}

static bool visit_file(void *arg, const char *id, const char *path)
{
    struct walk *w = arg;
    struct queue_list_entry entry = {.queue_name = w->queue_name, .queue_id = id};
    struct logs logs = {0};
    struct envelope env;
    struct stat st;

    arena_reset(w->arena);
    if (!read_message(w, path, &env, &st))
        return true;
    bounce_log_read(w->q, QUEUE_BOUNCE, id, w->arena, &logs.bounce, &logs.bounce_count);
    bounce_log_read(w->q, QUEUE_DEFER, id, w->arena, &logs.defer, &logs.defer_count);
    entry.time = env.arrival.tv_sec;
    /* A file of postdrop has no size record that could be trusted. */
    entry.size = is_maildrop(w) ? st.st_size : env.data_size;
    entry.forced_expire = st.st_mode & QUEUE_BIT_EXPIRE;
    entry.sender = env.sender;
    list_recipients(w, &env, &logs, &entry);
    w->stopped = !w->visit(w->arg, &entry);
    return !w->stopped;
}

void queue_list(const struct queue *q, struct arena *arena,
                bool (*visit)(void *arg, const struct queue_list_entry *entry),
                void *arg)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_ACTIVE, QUEUE_INCOMING,
                                         QUEUE_DEFERRED, QUEUE_HOLD};

    for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
        struct walk w = {q, arena, queues[i], visit, arg, false};

        queue_scan(q, queues[i], visit_file, &w);
        if (w.stopped)
            return;
    }
}

void queue_list_to_frame(const struct queue_list_entry *entry, struct strbuf *sb)
{
    frame_str(sb, "queue_name", entry->queue_name);
    frame_str(sb, "queue_id", entry->queue_id);
    frame_num(sb, "time", entry->time);
    frame_num(sb, "size", entry->size);
    frame_num(sb, "forced_expire", entry->forced_expire);
    frame_str(sb, "sender", entry->sender);
    for (size_t i = 0; i < entry->rcpt_len; i++) {
        size_t mark = frame_group_begin(sb, "recipient");

        frame_str(sb, "original_recipient", entry->rcpts[i].orig);
        frame_str(sb, "recipient", entry->rcpts[i].address);
        frame_str(sb, "log_class", entry->rcpts[i].log_class);
        frame_str(sb, "reason", entry->rcpts[i].reason);
        frame_group_end(sb, mark);
    }
}

static bool read_recipient(struct span body, struct arena *arena,
                           struct queue_list_rcpt *rcpt)
{
    struct frame_reader r = frame_reader(body);

    rcpt->orig = arena_span_str(arena, frame_want_span(&r, "original_recipient"));
    rcpt->address = arena_span_str(arena, frame_want_span(&r, "recipient"));
    rcpt->log_class = arena_span_str(arena, frame_want_span(&r, "log_class"));
    rcpt->reason = arena_span_str(arena, frame_want_span(&r, "reason"));
    return !r.missing;
}

static bool is_recipient(const struct frame_attr *attr)
{
    return span_eq_str(attr->name, "recipient") && frame_group_check(attr->value);
}

bool queue_list_from_frame(struct span body, struct arena *arena,
                           struct queue_list_entry *e, const char **missing_out)
{
    struct frame_reader r = frame_reader(body);
    struct frame_attr attr;
    struct span walk = body;
    size_t count = 0;

    e->queue_name = arena_span_str(arena, frame_want_span(&r, "queue_name"));
    e->queue_id = arena_span_str(arena, frame_want_span(&r, "queue_id"));
    e->time = frame_want_num(&r, "time");
    e->size = frame_want_num(&r, "size");
    e->forced_expire = frame_want_num(&r, "forced_expire") != 0;
    e->sender = arena_span_str(arena, frame_want_span(&r, "sender"));
    while (frame_next(&walk, &attr))
        count += is_recipient(&attr);
    e->rcpts = arena_alloc(arena, (count + 1) * sizeof *e->rcpts);
    e->rcpt_len = 0;
    while (frame_next(&body, &attr))
        if (is_recipient(&attr) && !r.missing) {
            if (!read_recipient(attr.value, arena, &e->rcpts[e->rcpt_len++]))
                r.missing = "recipient";
        }
    *missing_out = r.missing;
    return !r.missing;
}
