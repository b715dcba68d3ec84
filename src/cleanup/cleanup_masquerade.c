#include "cleanup/cleanup_masquerade.h"

#include <stdlib.h>

#include "global/addr.h"
#include "global/match_list.h"

struct masquerade {
    unsigned classes;
    struct span *domains; /* lower case; "!" in front: leave alone */
    size_t domain_count;
    struct match_list *exceptions; /* user names */
};

struct masquerade *masquerade_new(const struct config *cfg, unsigned classes,
                                  struct arena *arena)
{
    struct masquerade *mq = xcalloc(1, sizeof *mq);
    struct span rest = span_str(cfg->masquerade_domains), token;

    mq->classes = classes;
    mq->domains = arena_alloc(arena, (rest.len / 2 + 1) * sizeof *mq->domains);
    while (span_token(&rest, ", \t\r\n", &token))
        mq->domains[mq->domain_count++] = arena_span(arena, token);
    mq->exceptions = match_list_open(cfg, "masquerade_exceptions",
                                     cfg->masquerade_exceptions, MATCH_STRING);
    return mq;
}

void masquerade_free(struct masquerade *mq)
{
    match_list_close(mq->exceptions);
    free(mq);
}

bool masquerade_touches(const struct masquerade *mq, enum address_class class)
{
    return mq->domain_count > 0 && mq->classes & class;
}

static bool is_below(struct span domain, struct span parent)
{
    return domain.len > parent.len + 1 && span_iends(domain, parent) &&
           domain.ptr[domain.len - parent.len - 1] == '.';
}

/* The first domain of the list that the address is in decides. */
static bool find_mask(const struct masquerade *mq, struct span domain,
                      struct span *mask_out)
{
    for (size_t i = 0; i < mq->domain_count; i++) {
        struct span mask = mq->domains[i];
        bool keep = mask.ptr[0] == '!';

        if (keep)
            mask = span_skip(mask, 1);
        if (keep && (span_ieq(domain, mask) || is_below(domain, mask)))
            return false;
        if (!keep && span_ieq(domain, mask))
            return false;
        if (!keep && is_below(domain, mask)) {
            *mask_out = mask;
            return true;
        }
    }
    return false;
}

bool masquerade_apply(const struct masquerade *mq, enum address_class class,
                      const char *address, struct arena *arena, const char **result_out)
{
    struct span local, domain, mask;
    enum match_result exempt;

    *result_out = address;
    if (!masquerade_touches(mq, class))
        return true;
    addr_split(span_str(address), &local, &domain);
    if (!find_mask(mq, domain, &mask))
        return true;
    exempt = match_list_find(mq->exceptions, local);
    if (exempt == MATCH_NO)
        *result_out = arena_printf(arena, "%.*s@%.*s", SPAN_ARG(local), SPAN_ARG(mask));
    return exempt != MATCH_RETRY;
}
