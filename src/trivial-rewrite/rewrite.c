#include "trivial-rewrite/rewrite.h"

#include "global/addr.h"

struct rewrite_context rewrite_context_local(const struct config *cfg)
{
    return (struct rewrite_context){
        .origin = cfg->append_at_myorigin ? cfg->myorigin : NULL,
        .domain = cfg->append_dot_mydomain ? cfg->mydomain : NULL,
    };
}

struct rewrite_context rewrite_context_remote(const struct config *cfg)
{
    const char *domain =
        cfg->remote_header_rewrite_domain[0] ? cfg->remote_header_rewrite_domain : NULL;

    return (struct rewrite_context){
        .origin = cfg->append_at_myorigin ? domain : NULL,
        .domain = cfg->append_dot_mydomain ? domain : NULL,
    };
}

/* "@a,@b:user@dom" */
static struct span strip_route(struct span address)
{
    if (address.len == 0 || address.ptr[0] != '@')
        return address;
    ssize_t colon = span_chr(address, ':');
    return colon < 0 ? address : span_skip(address, (size_t)colon + 1);
}

static struct span join(struct arena *arena, struct span local, struct span domain)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_span(&sb, local);
    strbuf_add_char(&sb, '@');
    strbuf_add_span(&sb, domain);
    struct span result = arena_span(arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return result;
}

/* Give an address without '@' a domain. */
static struct span add_domain(const struct config *cfg,
                              const struct rewrite_context *context,
                              struct span address, struct arena *arena)
{
    ssize_t at;

    if (cfg->swap_bangpath && (at = span_chr(address, '!')) >= 0)
        return join(arena, span_skip(address, (size_t)at + 1),
                    span_first(address, (size_t)at));
    if (cfg->allow_percent_hack && (at = span_rchr(address, '%')) >= 0)
        return join(arena, span_first(address, (size_t)at),
                    span_skip(address, (size_t)at + 1));
    if (!context->origin)
        return address;
    return join(arena, address, span_str(context->origin));
}

static struct span complete_domain(const struct rewrite_context *context,
                                   struct span local, struct span domain,
                                   struct arena *arena)
{
    size_t len = domain.len;

    if (len > 1 && domain.ptr[len - 1] == '.' && domain.ptr[len - 2] != '.')
        return join(arena, local, span_first(domain, len - 1));
    if (len == 0 || domain.ptr[0] == '[' || span_chr(domain, '.') >= 0 ||
        !context->domain)
        return join(arena, local, domain);
    char *full = arena_printf(arena, "%.*s.%s", SPAN_ARG(domain), context->domain);
    return join(arena, local, span_str(full));
}

struct span rewrite_standard_form(const struct config *cfg,
                                  const struct rewrite_context *context,
                                  struct span address, struct arena *arena)
{
    struct span local, domain;

    address = strip_route(address);
    if (address.len == 0 || span_eq_str(address, "@"))
        return SPAN_EMPTY;
    if (span_rchr(address, '@') < 0) {
        address = add_domain(cfg, context, address, arena);
        if (span_rchr(address, '@') < 0)
            return address;
    }
    addr_split(address, &local, &domain);
    return complete_domain(context, local, domain, arena);
}
