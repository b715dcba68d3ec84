/* showq(8): lists the queue to whoever connects, one frame a message, and an empty
 * frame at the end. Takes no input. */
#include "global/queue_list.h"
#include "master/service.h"
#include "util/ipc.h"

/* Written in portions of this size, so that a long list shows from the start. */
#define PORTION (64 * 1024)

struct listing {
    struct stream *stream;
    struct strbuf frames;
};

static bool send_portion(struct listing *l)
{
    enum stream_status st = ipc_write_frames(l->stream, &l->frames);

    strbuf_reset(&l->frames);
    return st == STREAM_OK && stream_flush(l->stream) == STREAM_OK;
}

static bool visit(void *arg, const struct queue_list_entry *entry)
{
    struct listing *l = arg;
    size_t mark = frame_begin(&l->frames, 0);

    queue_list_to_frame(entry, &l->frames);
    frame_end(&l->frames, mark);
    return l->frames.len < PORTION || send_portion(l);
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    struct listing l = {.stream = stream, .frames = STRBUF_INIT};
    struct arena *arena = arena_new();

    (void)peer;
    stream_set_timeout(stream, svc->cfg->ipc_timeout * 1000);
    queue_list(svc->data, arena, visit, &l);
    frame_end(&l.frames, frame_begin(&l.frames, 0));
    send_portion(&l);
    strbuf_free(&l.frames);
    arena_free(arena);
    stream_free(stream);
}

static void pre_jail(struct service *svc)
{
    struct queue *q = arena_alloc(svc->arena, sizeof *q);

    queue_init(q, svc->cfg, svc->arena);
    svc->data = q;
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "showq", .pre_jail = pre_jail, .session = session};

    return service_main(argc, argv, &ops);
}
