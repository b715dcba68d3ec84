#include "global/flush_client.h"

#include "global/addr.h"
#include "global/match_list.h"
#include "util/ipc.h"

struct flush_client {
    struct match_list *domains;
    struct ipc_mux *mux;
};

struct flush_client *flush_client_new(const struct config *cfg)
{
    struct flush_client *fc = xcalloc(1, sizeof *fc);
    struct strbuf path = STRBUF_INIT;

    fc->domains = match_list_open(cfg, "fast_flush_domains", cfg->fast_flush_domains,
                                  MATCH_DOMAIN);
    strbuf_addf(&path, "public/%s", cfg->flush_service_name);
    fc->mux = ipc_mux_new(path.ptr, cfg->ipc_timeout * 1000);
    strbuf_free(&path);
    return fc;
}

void flush_add(struct flush_client *fc, const char *recipient, const char *queue_id)
{
    struct strbuf request = STRBUF_INIT;
    struct span local, domain;

    addr_split(span_str(recipient), &local, &domain);
    if (domain.len == 0 || match_list_find(fc->domains, domain) != MATCH_YES)
        return;
    frame_str(&request, "request", "add");
    frame_span(&request, "site", domain);
    frame_str(&request, "queue_id", queue_id);
    ipc_mux_send(fc->mux, &request);
    strbuf_free(&request);
}
