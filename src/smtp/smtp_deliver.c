/* One delivery request: the sites of its next hop in turn, host by host, until every
 * recipient has its answer or nothing is left to try. */
#include "smtp/smtp.h"

#include "util/msg.h"

static void report_rest(struct smtp_delivery *d)
{
    gettimeofday(&d->req->deliver_done, NULL);
    if (d->req->conn_done.tv_sec == 0) /* all the time went into connecting */
        d->req->conn_done = d->req->deliver_done;
    for (size_t i = 0; i < d->req->env.rcpt_len; i++)
        if (!deliver_rcpt_is_reported(d->req, i))
            deliver_status(d->agent->deliver, d->req, i, d->relay, &d->trouble);
    d->left = 0;
}

/* A host could not be talked to, or a session broke. What is permanent is the answer
 * for all recipients; the rest may do better at the next host, and the last one's
 * trouble is told by report_rest. */
static void host_failed(struct smtp_delivery *d)
{
    if (d->trouble.status[0] == '5')
        report_rest(d);
    else if (!d->final_host)
        msg_info("%s: %s", d->req->queue_id, d->trouble.reason);
}

static void begin_session(struct smtp_delivery *d, struct smtp_session *s)
{
    s->uses++;
    d->session = s;
    d->relay = arena_str(d->arena, s->relay);
    d->req->conn_use = s->uses > 1 ? s->uses : 0;
    gettimeofday(&d->req->conn_done, NULL);
}

static void end_session(struct smtp_delivery *d, struct smtp_session *s, bool healthy)
{
    d->session = NULL;
    if (!healthy)
        s->dead = true;
    if (healthy && d->agent->p.cache_on_demand && (d->req->flags & DELIVER_CONN_STORE))
        smtp_cache_put(s, d->req->nexthop);
    else
        smtp_session_quit(s);
}

static bool deliver_over(struct smtp_delivery *d, struct smtp_session *s)
{
    bool healthy = smtp_transaction(d, s);

    end_session(d, s, healthy);
    return healthy;
}

/* A parked connection: when it turns out to be gone the hosts are tried afresh. */
static void try_parked(struct smtp_delivery *d)
{
    struct smtp_session *s;

    if (!(d->req->flags & DELIVER_CONN_LOAD) || !d->agent->p.cache_on_demand)
        return;
    s = smtp_cache_take(d->agent, d->req->nexthop);
    if (!s)
        return;
    d->final_host = s->only_host;
    d->trouble.reason = NULL;
    begin_session(d, s);
    deliver_over(d, s);
    d->req->conn_use = 0;
}

static void try_host(struct smtp_delivery *d, const struct smtp_host *host,
                     bool only_host, int64_t *sessions)
{
    struct smtp_session *s;

    d->trouble.reason = NULL;
    s = smtp_session_open(d, host);
    if (s) {
        ++*sessions;
        s->only_host = only_host;
        begin_session(d, s);
        if (!deliver_over(d, s))
            host_failed(d);
    } else if (!d->connect_failed) {
        host_failed(d);
    }
}

static void try_hosts(struct smtp_delivery *d, const struct smtp_host *hosts,
                      size_t count, bool last_site)
{
    const struct smtp_params *p = &d->agent->p;
    int64_t sessions = 0;

    for (size_t i = 0; i < count && d->left > 0 && !fiber_cancelled(); i++) {
        bool last = i + 1 == count ||
                    (p->mx_session_limit > 0 && sessions + 1 == p->mx_session_limit);

        if (p->mx_session_limit > 0 && sessions >= p->mx_session_limit)
            return;
        d->final_host = last_site && last;
        try_host(d, &hosts[i], count == 1 && last_site, &sessions);
    }
}

/* What does not exist because this system's configuration names it is no reason to
 * return mail. */
static void configuration_problem(struct smtp_delivery *d, const char *parameter)
{
    msg_warn("%s configuration problem", parameter);
    strcpy(d->trouble.status, "4.3.5");
}

static bool is_relayhost(const struct smtp_delivery *d, struct span site)
{
    return !d->agent->p.lmtp && span_eq_str(site, d->agent->cfg->relayhost);
}

static void try_site(struct smtp_delivery *d, struct span site, bool fallback,
                     bool last_site)
{
    struct smtp_host *hosts;
    size_t count;

    d->loops = false;
    count = smtp_target_hosts(d, site, &hosts);
    if (count > 0) {
        try_hosts(d, hosts, count, last_site);
        return;
    }
    if (d->trouble.status[0] == '5' && fallback && last_site)
        configuration_problem(d, d->agent->p.lmtp ? "lmtp_fallback_relay"
                                                  : "smtp_fallback_relay");
    else if (d->trouble.status[0] == '5' && is_relayhost(d, site))
        configuration_problem(d, "relayhost");
    if (d->loops)
        report_rest(d);
}

/* The next hop may be a list; fallback relays come after it. */
static void try_sites(struct smtp_delivery *d)
{
    struct span lists[2] = {span_str(d->req->nexthop),
                            span_str(d->agent->p.fallback_relay)};
    struct span sites[32];
    size_t count = 0, fallback = 0;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        fallback = count;
        while (count < ARRAY_LEN(sites) &&
               span_token(&lists[i], ", \t\r\n", &sites[count]))
            count++;
    }
    for (size_t i = 0; i < count && d->left > 0 && !fiber_cancelled(); i++)
        try_site(d, sites[i], i >= fallback, i + 1 == count);
}

void smtp_deliver(struct deliver *deliver, struct deliver_request *req, void *arg)
{
    struct smtp_delivery d = {.agent = arg,
                              .req = req,
                              .arena = req->arena,
                              .relay = "none",
                              .left = req->env.rcpt_len};

    (void)deliver;
    service_note_session(req->queue_id);
    try_parked(&d);
    if (d.left > 0)
        try_sites(&d);
    if (d.left > 0) {
        if (!d.trouble.reason)
            smtp_set_trouble(&d, "4.3.0", "delivery was interrupted");
        report_rest(&d);
        if (!d.got_through && d.trouble.status[0] == '4')
            deliver_concurrency_failure(req, &d.trouble);
    }
}
