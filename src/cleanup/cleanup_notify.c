#include "cleanup/cleanup.h"

#include <stdlib.h>

#include "global/trigger.h"
#include "util/ipc.h"
#include "util/msg.h"

#define CALL_TIMEOUT_MS 10000
#define RETRY_MS        5000 /* between attempts to reach a qmgr that is away */
#define SETTLE_MS       1000 /* losses within this time share one scan */

/* News are one-way: a message is safe in incoming before qmgr hears of it. When
 * news may have been lost, qmgr is asked to scan that queue. */
struct cleanup_notifier {
    struct ipc_mux *mux;
    char *path;
    struct strbuf request;
    bool scan_wanted, scan_fiber_runs;
};

static void scan_fiber(void *arg)
{
    struct cleanup_notifier *nf = arg;

    while (nf->scan_wanted && fiber_sleep(SETTLE_MS) != WAIT_CANCELLED) {
        nf->scan_wanted = false;
        if (trigger_send(nf->path, "I", CALL_TIMEOUT_MS / 1000))
            continue;
        nf->scan_wanted = true;
        if (fiber_sleep(RETRY_MS) == WAIT_CANCELLED)
            break;
    }
    nf->scan_fiber_runs = false;
}

static void news_lost(void *arg)
{
    struct cleanup_notifier *nf = arg;

    nf->scan_wanted = true;
    if (nf->scan_fiber_runs)
        return;
    nf->scan_fiber_runs = true;
    fiber_spawn("qmgr scan", scan_fiber, nf);
}

struct cleanup_notifier *cleanup_notifier_new(const struct config *cfg)
{
    struct cleanup_notifier *nf = xcalloc(1, sizeof *nf);
    struct strbuf path = STRBUF_INIT;

    strbuf_addf(&path, "public/%s", cfg->queue_service_name);
    nf->mux = ipc_mux_new(path.ptr, CALL_TIMEOUT_MS);
    nf->path = strbuf_detach(&path);
    strbuf_init(&nf->request);
    ipc_mux_on_lost(nf->mux, news_lost, nf);
    return nf;
}

void cleanup_notifier_free(struct cleanup_notifier *nf)
{
    if (!nf)
        return;
    ipc_mux_free(nf->mux);
    strbuf_free(&nf->request);
    free(nf->path);
    free(nf);
}

void cleanup_notify(struct cleanup_notifier *nf, const char *queue_name,
                    const char *queue_id, const struct envelope *env)
{
    strbuf_reset(&nf->request);
    frame_str(&nf->request, "request", "new");
    frame_str(&nf->request, "queue_name", queue_name);
    frame_str(&nf->request, "queue_id", queue_id);
    envelope_to_frame(env, &nf->request);
    ipc_mux_send(nf->mux, &nf->request);
}
