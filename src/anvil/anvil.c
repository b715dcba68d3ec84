/* anvil(8): the service around the counters. A connection stands for a process that
 * reports, so that its connections can be forgotten when it ends; requests are
 * multiplexed on it and answered in one go. */
#include "anvil/anvil.h"
#include "master/service.h"
#include "util/ipc.h"
#include "util/timefmt.h"

#define EXPIRE_MS 5000

struct program {
    struct anvil anvil;
    int64_t status_ms;
    struct loop_timer status_timer, expire_timer;
};

static void answer(struct anvil_reporter *rep, const struct frame *frame,
                   struct strbuf *replies)
{
    struct strbuf unused = STRBUF_INIT;
    size_t mark;

    if (frame->id == 0) {
        anvil_request(rep, frame->body, loop_now(), time_now(), &unused);
        strbuf_free(&unused);
        return;
    }
    mark = frame_begin(replies, frame->id);
    anvil_request(rep, frame->body, loop_now(), time_now(), replies);
    frame_end(replies, mark);
}

static void serve(struct service *svc, struct stream *stream,
                  struct anvil_reporter *rep)
{
    struct strbuf replies = STRBUF_INIT;
    struct frame frame;

    while (service_session_wait(svc, stream) &&
           ipc_read_frame(stream, &frame) == STREAM_OK) {
        strbuf_reset(&replies);
        answer(rep, &frame, &replies);
        stream_write_span(stream, strbuf_span(&replies));
    }
    stream_flush(stream);
    strbuf_free(&replies);
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    struct program *program = svc->data;
    struct anvil_reporter rep;

    (void)peer;
    anvil_reporter_init(&rep, &program->anvil);
    stream_set_timeout(stream, svc->cfg->ipc_timeout * 1000);
    if (ipc_read_preamble(stream) == STREAM_OK) {
        stream_set_timeout(stream, INT32_MAX); /* silence is normal */
        serve(svc, stream, &rep);
    }
    anvil_reporter_free(&rep, loop_now());
    stream_free(stream);
}

static void on_status(void *arg)
{
    struct program *program = arg;

    anvil_log_peaks(&program->anvil);
    loop_timer_set(&program->status_timer, program->status_ms, on_status, program);
}

static void on_expire(void *arg)
{
    struct program *program = arg;

    anvil_expire(&program->anvil, loop_now());
    loop_timer_set(&program->expire_timer, EXPIRE_MS, on_expire, program);
}

static void pre_jail(struct service *svc)
{
    struct program *program = arena_alloc(svc->arena, sizeof *program);

    anvil_init(&program->anvil, svc->cfg->anvil_rate_time_unit * 1000);
    program->status_ms = svc->cfg->anvil_status_update_time * 1000;
    svc->data = program;
}

static void post_jail(struct service *svc)
{
    struct program *program = svc->data;

    loop_timer_set(&program->status_timer, program->status_ms, on_status, program);
    loop_timer_set(&program->expire_timer, EXPIRE_MS, on_expire, program);
}

static void on_end(struct service *svc)
{
    struct program *program = svc->data;

    anvil_log_peaks(&program->anvil);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {.program = "anvil",
                                           .pre_jail = pre_jail,
                                           .post_jail = post_jail,
                                           .session = session,
                                           .on_exit = on_end,
                                           .solitary = true};

    return service_main(argc, argv, &ops);
}
