#include "cleanup/cleanup.h"

#include "util/msg.h"

#define BATCH_RCPTS 1000

static void describe(const struct cleanup_msg *msg, struct dsn *dsn)
{
    const struct cleanup_status_detail *detail = cleanup_status_detail(msg->status);
    const char *code = msg->dsn[0] ? msg->dsn : detail->dsn;

    *dsn = (struct dsn){.action = "failed",
                        .reason = detail->text,
                        .diag_type = "",
                        .diag_text = "",
                        .mta_type = "",
                        .mta_name = ""};
    if (msg->reason[0])
        dsn->reason = msg->reason;
    memcpy(dsn->status, code, strnlen(code, DSN_STATUS_LEN - 1) + 1);
}

static bool append_all(struct cleanup_msg *msg, const struct dsn *dsn)
{
    const char *service = msg->cs->cfg->bounce_service_name, *why;
    struct arena *arena = arena_new();
    struct envelope env;
    int64_t offset = 0;
    bool ok;

    do {
        arena_reset(arena);
        ok = envelope_read(msg->out->fd, BATCH_RCPTS, offset, arena, &env, &why) ==
             ENVELOPE_OK;
        for (size_t i = 0; ok && i < env.rcpt_len; i++)
            ok = bounce_append(msg->cs->bounce, service, msg->out->id, 0, &env.rcpts[i],
                               dsn);
        offset = env.next_rcpt_offset;
    } while (ok && offset);
    arena_free(arena);
    return ok;
}

bool cleanup_bounce(struct cleanup_msg *msg)
{
    struct dsn dsn;

    describe(msg, &dsn);
    return append_all(msg, &dsn) &&
           bounce_notify(msg->cs->bounce, msg->cs->cfg->bounce_service_name,
                         BOUNCE_FLUSH, BOUNCE_FLAG_CLEAN, msg->out->queue_name,
                         msg->out->id, &msg->env);
}
