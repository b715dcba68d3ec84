/* local(8): the service. */
#include "local/local.h"

#include "global/mail_table.h"
#include "util/file.h"
#include "util/msg.h"

static const struct name_bit {
    const char *name;
    unsigned bit;
} origins[] = {{"alias", ORIGIN_ALIAS},
               {"forward", ORIGIN_FORWARD},
               {"include", ORIGIN_INCLUDE},
               {NULL, 0}},
  targets[] = {{"command", TARGET_COMMAND},
               {"file", TARGET_FILE},
               {"forward", TARGET_FORWARD},
               {NULL, 0}},
  /* the other names are for other programs */
    propagation[] = {{"alias", ORIGIN_ALIAS},
                     {"forward", ORIGIN_FORWARD},
                     {"include", ORIGIN_INCLUDE},
                     {"canonical", 0},
                     {"virtual", 0},
                     {"generic", 0},
                     {NULL, 0}};

static unsigned parse_names(const char *parameter, const char *value,
                            const struct name_bit *names)
{
    struct span rest = span_str(value), word;
    unsigned bits = 0;

    while (span_token(&rest, ", \t\r\n", &word)) {
        const struct name_bit *n = names;

        while (n->name && !span_ieq_str(word, n->name))
            n++;
        if (!n->name)
            msg_fatal("parameter %s: unknown name \"%.*s\"", parameter, SPAN_ARG(word));
        bits |= n->bit;
    }
    return bits;
}

static void parse_settings(struct local_agent *agent)
{
    const struct config *cfg = agent->cfg;
    struct err err;

    agent->command_origins =
        parse_names("allow_mail_to_commands", cfg->allow_mail_to_commands, origins);
    agent->file_origins =
        parse_names("allow_mail_to_files", cfg->allow_mail_to_files, origins);
    agent->delivered_header =
        parse_names("prepend_delivered_header", cfg->prepend_delivered_header, targets);
    agent->propagate = parse_names("propagate_unmatched_extensions",
                                   cfg->propagate_unmatched_extensions, propagation);
    agent->duplicate_limit = (size_t)cfg->duplicate_filter_limit;
    if (!lock_styles_parse(span_str(cfg->mailbox_delivery_lock), &agent->locks, &err))
        msg_fatal("parameter mailbox_delivery_lock: %s", err.text);
    if (cfg->sun_mailtool_compatibility)
        agent->locks = LOCK_DOTLOCK;
    if (cfg->mailbox_size_limit > 0 &&
        (cfg->message_size_limit == 0 ||
         cfg->mailbox_size_limit < cfg->message_size_limit))
        msg_fatal("configuration error: mailbox_size_limit is smaller than "
                  "message_size_limit");
}

/* Who may run commands and write files depends on who owns the alias database, so it is
 * opened here, with the rights of this service, also where others use proxymap. */
static const char *without_proxy(struct arena *arena, const char *names)
{
    const struct span prefix = SPAN_LIT("proxy:");
    struct strbuf direct = STRBUF_INIT;
    struct span rest = span_str(names), name;

    while (table_next_element(&rest, &name)) {
        while (span_starts(name, prefix))
            name = span_skip(name, prefix.len);
        if (direct.len > 0)
            strbuf_add_str(&direct, ", ");
        strbuf_add_span(&direct, name);
    }
    names = arena_span_str(arena, strbuf_span(&direct));
    strbuf_free(&direct);
    return names;
}

static void pre_jail(struct service *svc)
{
    struct local_agent *agent = arena_alloc(svc->arena, sizeof *agent);
    const struct config *cfg = svc->cfg;

    agent->svc = svc;
    agent->cfg = cfg;
    parse_settings(agent);
    agent->deliver = deliver_new(cfg, svc->arena, svc->name);
    agent->rewrite = rewrite_client_new(cfg);
    agent->cleanup = cleanup_client_new(cfg);
    agent->aliases =
        mail_maps(cfg, "alias_maps", without_proxy(svc->arena, cfg->alias_maps));
    agent->mailbox_commands =
        mail_maps(cfg, "mailbox_command_maps", cfg->mailbox_command_maps);
    agent->mailbox_transports =
        mail_maps(cfg, "mailbox_transport_maps", cfg->mailbox_transport_maps);
    agent->fallback_transports =
        mail_maps(cfg, "fallback_transport_maps", cfg->fallback_transport_maps);
    svc->data = agent;
}

/* A process that knows an old alias database ends after the request under way; the
 * next one opens the new. */
static void check_tables(struct local_agent *agent)
{
    struct maps *all[] = {agent->aliases, agent->mailbox_commands,
                          agent->mailbox_transports, agent->fallback_transports};
    const char *changed;

    for (size_t i = 0; i < ARRAY_LEN(all) && !agent->svc->retiring; i++) {
        changed = maps_changed(all[i]);
        if (changed) {
            msg_info("table %s has changed -- restarting", changed);
            service_retire(agent->svc);
        }
    }
}

static void handle(struct deliver *deliver, struct deliver_request *req, void *arg)
{
    service_note_session(req->queue_id);
    local_deliver(deliver, req, arg);
    check_tables(arg);
}

static void session(struct service *svc, struct stream *stream,
                    const struct net_addr *peer)
{
    struct local_agent *agent = svc->data;

    (void)peer;
    deliver_serve(agent->deliver, stream, service_session_wait, svc, handle, agent);
}

static void on_exit_free(struct service *svc)
{
    struct local_agent *agent = svc->data;

    maps_close(agent->aliases);
    maps_close(agent->mailbox_commands);
    maps_close(agent->mailbox_transports);
    maps_close(agent->fallback_transports);
    rewrite_client_free(agent->rewrite);
    cleanup_client_free(agent->cleanup);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "local",
        .pre_jail = pre_jail,
        .session = session,
        .on_exit = on_exit_free,
        .privileged = true,
        .no_chroot = true,
    };

    return service_main(argc, argv, &ops);
}
