#include "global/anvil_client.h"

#include <stdlib.h>

#include "util/ipc.h"
#include "util/msg.h"

#define SERVICE    "anvil"
#define TIMEOUT_MS 10000 /* counting is not worth a longer wait */
#define WARN_MS    60000
#define PAUSE_MS   5000 /* after a failure, before anvil is asked again */

struct anvil_client {
    struct ipc_mux *mux;
    int64_t warned, pause_until; /* loop_now(); 0: never */
};

struct anvil_client *anvil_client_new(const struct config *cfg)
{
    struct anvil_client *ac = xcalloc(1, sizeof *ac);

    (void)cfg;
    ac->mux = ipc_mux_new("private/" SERVICE, TIMEOUT_MS);
    return ac;
}

void anvil_client_free(struct anvil_client *ac)
{
    if (!ac)
        return;
    ipc_mux_free(ac->mux);
    free(ac);
}

static void put_request(struct strbuf *sb, const char *request, const char *service,
                        const char *client)
{
    struct strbuf ident = STRBUF_INIT;

    strbuf_addf(&ident, "%s:%s", service, client);
    frame_str(sb, "request", request);
    frame_span(sb, "ident", strbuf_span(&ident));
    strbuf_free(&ident);
}

/* One dead service must not delay each client by a time limit. */
static void note_failure(struct anvil_client *ac, enum ipc_status status)
{
    if (status == IPC_CANCELLED)
        return;
    ac->pause_until = loop_now() + PAUSE_MS;
    if (ac->warned && loop_now() - ac->warned < WARN_MS)
        return;
    ac->warned = loop_now();
    msg_warn("problem talking to service " SERVICE ": %s", ipc_status_text(status));
}

static bool ask(struct anvil_client *ac, const char *request, const char *service,
                const char *client, struct anvil_counts *counts_out)
{
    struct strbuf sb = STRBUF_INIT, reply = STRBUF_INIT;
    enum ipc_status status;
    struct frame_reader r;

    if (ac->pause_until && loop_now() < ac->pause_until)
        return false;
    put_request(&sb, request, service, client);
    status = ipc_mux_call(ac->mux, &sb, &reply);
    if (status == IPC_OK) {
        r = frame_reader(strbuf_span(&reply));
        if (frame_want_num(&r, "status") != 0 || r.missing)
            status = IPC_BROKEN;
        counts_out->connections = frame_opt_num(&r, "count", 0);
        counts_out->rate = frame_opt_num(&r, "rate", 0);
    }
    if (status != IPC_OK)
        note_failure(ac, status);
    strbuf_free(&sb);
    strbuf_free(&reply);
    return status == IPC_OK;
}

bool anvil_connect(struct anvil_client *ac, const char *service, const char *client,
                   struct anvil_counts *counts_out)
{
    return ask(ac, "connect", service, client, counts_out);
}

bool anvil_count(struct anvil_client *ac, enum anvil_event event, const char *service,
                 const char *client, int64_t *rate_out)
{
    static const char *const requests[] = {[ANVIL_MESSAGE] = "message",
                                           [ANVIL_RECIPIENT] = "recipient",
                                           [ANVIL_NEWTLS] = "newtls",
                                           [ANVIL_AUTH] = "auth"};
    struct anvil_counts counts;

    if (!ask(ac, requests[event], service, client, &counts))
        return false;
    *rate_out = counts.rate;
    return true;
}

void anvil_disconnect(struct anvil_client *ac, const char *service, const char *client)
{
    struct strbuf sb = STRBUF_INIT;

    put_request(&sb, "disconnect", service, client);
    ipc_mux_send(ac->mux, &sb);
    strbuf_free(&sb);
}
