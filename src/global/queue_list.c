#include "global/queue_list.h"

#include <fcntl.h>
#include <unistd.h>

#include "global/bounce_log.h"
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

static void copy_recipients(struct walk *w, const struct envelope *env,
                            const struct logs *logs, struct queue_list_entry *entry)
{
    size_t room = env->rcpt_len + logs->bounce_count;

    entry->rcpts = arena_alloc(w->arena, (room + 1) * sizeof *entry->rcpts);
    for (size_t i = 0; i < logs->bounce_count; i++)
        entry->rcpts[entry->rcpt_len++] = (struct queue_list_rcpt){
            logs->bounce[i].rcpt.address, logs->bounce[i].rcpt.orig, "bounce",
            logs->bounce[i].dsn.reason};
    for (size_t i = 0; i < env->rcpt_len; i++)
        entry->rcpts[entry->rcpt_len++] = (struct queue_list_rcpt){
            env->rcpts[i].address, env->rcpts[i].orig, "", ""};
}

/* The log is in the order of delivery: look on from where the last one was found, so
 * that long lists take one pass. */
static void add_reasons(const struct logs *logs, struct queue_list_entry *entry,
                        const struct envelope *env)
{
    size_t start = 0, first = entry->rcpt_len - env->rcpt_len;

    for (size_t i = 0; i < env->rcpt_len; i++) {
        for (size_t k = 0; k < logs->defer_count; k++) {
            const struct bounce_entry *e =
                &logs->defer[(start + k) % logs->defer_count];

            if (e->rcpt.offset != env->rcpts[i].offset)
                continue;
            entry->rcpts[first + i].log_class = "defer";
            entry->rcpts[first + i].reason = e->dsn.reason;
            start = (start + k + 1) % logs->defer_count;
            break;
        }
    }
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
    if (status == ENVELOPE_CORRUPT)
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
    entry.size = env.content_size > 0 ? env.content_size : st.st_size;
    entry.forced_expire = st.st_mode & QUEUE_BIT_EXPIRE;
    entry.sender = env.sender;
    copy_recipients(w, &env, &logs, &entry);
    add_reasons(&logs, &entry, &env);
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
