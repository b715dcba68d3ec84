#include "global/deliver_pass.h"

#include "global/addr.h"
#include "util/escape.h"
#include "util/ipc.h"
#include "util/msg.h"

static const char *next_hop(struct deliver_request *req, const struct recipient *rcpt,
                            struct span given)
{
    struct span local, domain;

    if (given.len > 0)
        return arena_span_str(req->arena, given);
    addr_split(span_str(rcpt->address), &local, &domain);
    return arena_span_str(req->arena, domain);
}

static void merge_reply(struct deliver_request *req, const struct deliver_reply *reply)
{
    req->reply->incomplete |= reply->incomplete;
    req->reply->bounced |= reply->bounced;
    req->reply->traced |= reply->traced;
}

static enum deliver_pass call(const struct deliver *d, struct deliver_request *req,
                              const struct deliver_request *passed, const char *path)
{
    struct ipc_pool *pool = ipc_pool_new(path, d->cfg->daemon_timeout * 1000, 1000, 0);
    struct strbuf frame = STRBUF_INIT, answer = STRBUF_INIT;
    enum deliver_pass result = DELIVER_PASS_FAILED;
    struct deliver_reply reply;
    const char *missing;
    enum ipc_status status;

    deliver_request_to_frame(passed, &frame);
    status = ipc_call(pool, &frame, &answer);
    if (status != IPC_OK) {
        msg_warn("%s: pass to %s: %s", req->queue_id, path, ipc_status_text(status));
    } else if (!deliver_reply_from_frame(strbuf_span(&answer), req->arena, &reply,
                                         &missing)) {
        msg_warn("%s: pass to %s: answer without attribute %s", req->queue_id, path,
                 missing);
    } else {
        merge_reply(req, &reply);
        result = reply.incomplete ? DELIVER_PASS_INCOMPLETE : DELIVER_PASS_FINAL;
    }
    strbuf_free(&frame);
    strbuf_free(&answer);
    ipc_pool_free(pool);
    return result;
}

enum deliver_pass deliver_pass(struct deliver *d, struct deliver_request *req,
                               const struct recipient *rcpt, const char *sender,
                               const char *destination)
{
    struct span nexthop = span_str(destination);
    struct span transport = span_trim(span_cut(&nexthop, ':'));
    struct deliver_request passed = *req;
    struct recipient one = *rcpt;
    struct strbuf quoted = STRBUF_INIT, shown = STRBUF_INIT;
    const char *path;

    if (transport.len == 0 || memchr(transport.ptr, '/', transport.len)) {
        msg_warn("%s: bad transport \"%s\"", req->queue_id, destination);
        return DELIVER_PASS_FAILED;
    }
    addr_quote(&quoted, span_str(rcpt->address));
    escape_printable(&shown, strbuf_span(&quoted), '?', true);
    msg_info("%s: passing <%s> to transport=%.*s", req->queue_id, shown.ptr,
             SPAN_ARG(transport));
    strbuf_free(&quoted);
    strbuf_free(&shown);
    passed.nexthop = next_hop(req, rcpt, span_trim(nexthop));
    passed.env.rcpts = &one;
    passed.env.rcpt_len = 1;
    passed.env.sender = sender;
    path = arena_printf(req->arena, "private/%.*s", SPAN_ARG(transport));
    return call(d, req, &passed, path);
}
