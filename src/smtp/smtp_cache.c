#include "smtp/smtp.h"

#include <stdlib.h>

/* More parked connections than this are not worth their descriptors. */
#define CACHE_MAX 500

static void forget(struct smtp_session *s)
{
    list_remove(&s->in_cache);
    loop_timer_cancel(&s->cache_timer);
    s->agent->cached_count--;
}

static void expire(void *arg)
{
    struct smtp_session *s = arg;

    forget(s);
    smtp_session_quit(s);
}

struct smtp_session *smtp_cache_take(struct smtp_agent *agent, const char *key)
{
    list_each_safe(link, &agent->cached)
    {
        struct smtp_session *s = list_entry(link, struct smtp_session, in_cache);

        if (strcasecmp(s->key, key) != 0)
            continue;
        forget(s);
        if (!stream_peer_closed(s->stream) && stream_input_pending(s->stream) == 0)
            return s;
        s->dead = true;
        smtp_session_quit(s);
    }
    return NULL;
}

static bool may_be_reused(const struct smtp_session *s)
{
    const struct smtp_params *p = &s->agent->p;

    return !s->dead && !s->ending && p->cache_time > 0 && loop_now() < s->expires &&
           (p->reuse_count_limit == 0 || s->uses <= p->reuse_count_limit) &&
           s->agent->cached_count < CACHE_MAX && !s->agent->svc->retiring;
}

void smtp_cache_put(struct smtp_session *s, const char *key)
{
    struct smtp_agent *agent = s->agent;

    if (!may_be_reused(s)) {
        smtp_session_quit(s);
        return;
    }
    free(s->key);
    s->key = xstrdup(key);
    list_prepend(&agent->cached, &s->in_cache);
    agent->cached_count++;
    loop_timer_set(&s->cache_timer, agent->p.cache_time * 1000, expire, s);
}

void smtp_cache_clear(struct smtp_agent *agent)
{
    struct smtp_session *s;

    while ((s = list_first(&agent->cached, struct smtp_session, in_cache)) != NULL)
        expire(s);
}
