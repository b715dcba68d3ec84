#include "cleanup/cleanup.h"

#include "util/ipc.h"
#include "util/msg.h"

#define CHECK_TABLES_MS 1000

/* One client connection. */
struct session {
    struct list link; /* in cs->idle while no message is under way */
    struct fiber *fiber;
    struct cleanup_service *cs;
    struct stream *stream;
    struct arena *arena; /* reset after each message */
    struct cleanup_out out;
    struct cleanup_msg *msg; /* NULL between messages */
    struct strbuf reply;
};

static struct span *parse_drop_headers(const char *text, struct arena *arena,
                                       size_t *count_out)
{
    struct span rest = span_str(text), token;
    struct span *names = arena_alloc(arena, (rest.len / 2 + 1) * sizeof *names);
    size_t count = 0;

    while (span_token(&rest, ", \t\r\n", &token))
        names[count++] = arena_span(arena, token);
    *count_out = count;
    return names;
}

/* A set of bytes in the notation of C strings: \r \n \0 \\ \ooo. */
static bool parse_byte_set(const char *text, bool set[256])
{
    static const char letters[] = "abfnrtv\\", values[] = "\a\b\f\n\r\t\v\\";
    const char *cp = text, *letter;

    while (*cp) {
        unsigned value = (unsigned char)*cp++;

        if (value == '\\' && *cp >= '0' && *cp <= '7') {
            value = 0;
            for (int i = 0; i < 3 && *cp >= '0' && *cp <= '7'; i++)
                value = value * 8 + (unsigned)(*cp++ - '0');
        } else if (value == '\\' && *cp) {
            letter = strchr(letters, *cp);
            value = (unsigned char)(letter ? values[letter - letters] : *cp);
            cp++;
        }
        set[value & 0xff] = true;
    }
    return *text != '\0';
}

void cleanup_service_init(struct cleanup_service *cs, const struct config *cfg,
                          struct arena *arena)
{
    bool reject, strip;

    cs->cfg = cfg;
    queue_init(&cs->queue, cfg, arena);
    cs->rewrite = rewrite_client_new(cfg);
    cs->bounce = bounce_client_new(cfg);
    cs->notifier = cleanup_notifier_new(cfg);
    cs->maps = cleanup_maps_open(cfg, arena);
    cs->drop_headers =
        parse_drop_headers(cfg->message_drop_headers, arena, &cs->drop_header_count);
    reject = parse_byte_set(cfg->message_reject_characters, cs->reject_chars);
    strip = parse_byte_set(cfg->message_strip_characters, cs->strip_chars);
    cs->filter_bytes = reject || strip;
    list_init(&cs->idle);
}

void cleanup_service_free(struct cleanup_service *cs)
{
    rewrite_client_free(cs->rewrite);
    bounce_client_free(cs->bounce);
    cleanup_notifier_free(cs->notifier);
    cleanup_maps_close(cs->maps);
}

static enum stream_status send_reply(struct session *ss, uint32_t id, int status,
                                     const struct cleanup_msg *msg,
                                     const char *queue_id)
{
    size_t mark;

    strbuf_reset(&ss->reply);
    mark = frame_begin(&ss->reply, id);
    frame_num(&ss->reply, "status", status);
    if (queue_id)
        frame_str(&ss->reply, "queue_id", queue_id);
    if (msg) {
        frame_str(&ss->reply, "reason", msg->reason);
        frame_str(&ss->reply, "dsn", msg->dsn);
        frame_num(&ss->reply, "size", msg->env.content_size);
    }
    frame_end(&ss->reply, mark);
    if (ipc_write_frames(ss->stream, &ss->reply) != STREAM_OK)
        return stream_write_status(ss->stream);
    return stream_flush(ss->stream);
}

static void end_message(struct session *ss)
{
    cleanup_msg_free(ss->msg);
    ss->msg = NULL;
    arena_reset(ss->arena);
}

/* A changed table is picked up by a new process; this one ends with its sessions. */
static void check_tables(struct cleanup_service *cs)
{
    const char *name;

    if (!cs->svc || cs->svc->retiring || loop_now() < cs->next_check)
        return;
    cs->next_check = loop_now() + CHECK_TABLES_MS;
    name = cleanup_maps_changed(cs->maps);
    if (!name)
        return;
    msg_info("table %s has changed -- restarting", name);
    service_retire(cs->svc);
}

static bool may_go_on(const struct session *ss)
{
    return ss->msg || !ss->cs->svc || !ss->cs->svc->retiring;
}

static enum stream_status open_message(struct session *ss, const struct frame *frame)
{
    struct frame_reader r = frame_reader(frame->body);
    int flags = (int)(frame_want_num(&r, "flags") & 0xffff);

    if (ss->msg || r.missing) {
        msg_warn("malformed request: %s",
                 r.missing ? r.missing : "open within a message");
        return send_reply(ss, frame->id, CLEANUP_STAT_BAD, NULL, NULL);
    }
    ss->msg = cleanup_msg_open(ss->cs, ss->arena, &ss->out, flags);
    if (!ss->msg)
        return send_reply(ss, frame->id, CLEANUP_STAT_WRITE, NULL, NULL);
    service_note_session(ss->out.id);
    return send_reply(ss, frame->id, CLEANUP_STAT_OK, NULL, ss->out.id);
}

static enum stream_status commit_message(struct session *ss, const struct frame *frame)
{
    enum stream_status status;

    if (!ss->msg)
        return send_reply(ss, frame->id, CLEANUP_STAT_BAD, NULL, NULL);
    cleanup_msg_commit(ss->msg);
    check_tables(ss->cs);
    status = send_reply(ss, frame->id, ss->msg->status, ss->msg, NULL);
    end_message(ss);
    return status;
}

static enum stream_status handle_frame(struct session *ss, const struct frame *frame)
{
    struct span value;

    if (frame_get(frame->body, "records", &value)) {
        if (ss->msg)
            cleanup_msg_records(ss->msg, value);
        return STREAM_OK;
    }
    if (!frame_get(frame->body, "request", &value))
        value = SPAN_LIT("");
    if (span_eq_str(value, "open"))
        return open_message(ss, frame);
    if (span_eq_str(value, "commit"))
        return commit_message(ss, frame);
    if (span_eq_str(value, "abort")) {
        if (ss->msg) {
            cleanup_msg_cancel(ss->msg);
            end_message(ss);
        }
        return STREAM_OK;
    }
    msg_warn("malformed request: no known operation");
    return send_reply(ss, frame->id, CLEANUP_STAT_BAD, NULL, NULL);
}

/* The next frame. Between messages the session is on the list of those that a
 * retiring process may end. */
static enum stream_status next_frame(struct session *ss, struct frame *frame)
{
    enum stream_status status;

    if (!ss->msg)
        list_append(&ss->cs->idle, &ss->link);
    status = ipc_read_frame(ss->stream, frame);
    list_remove(&ss->link);
    return status;
}

void cleanup_session(struct cleanup_service *cs, struct stream *stream)
{
    struct session ss = {.fiber = fiber_self(), .cs = cs, .stream = stream};
    enum stream_status status;
    struct frame frame;

    ss.arena = arena_new();
    cleanup_out_init(&ss.out, &cs->queue);
    strbuf_init(&ss.reply);
    stream_set_timeout(stream, cs->cfg->ipc_timeout * 1000);
    status = ipc_read_preamble(stream);
    while (status == STREAM_OK && may_go_on(&ss) &&
           (status = next_frame(&ss, &frame)) == STREAM_OK)
        status = handle_frame(&ss, &frame);
    if (ss.msg) {
        cleanup_msg_cancel(ss.msg);
        end_message(&ss);
    }
    cleanup_out_free(&ss.out);
    strbuf_free(&ss.reply);
    arena_free(ss.arena);
    stream_free(stream);
}

void cleanup_end_idle(struct cleanup_service *cs)
{
    list_each_safe(link, &cs->idle)
        fiber_cancel(list_entry(link, struct session, link)->fiber);
}
