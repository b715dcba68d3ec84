#include "global/addr.h"

static bool is_local_special(char c)
{
    unsigned char u = (unsigned char)c;

    return u <= 32 || u == 127 || strchr("()<>@,;:\\\"[]", c) != NULL;
}

static bool needs_quotes(struct span local)
{
    if (local.len == 0 || local.ptr[0] == '.' || local.ptr[local.len - 1] == '.')
        return true;
    for (size_t i = 0; i < local.len; i++) {
        if (is_local_special(local.ptr[i]))
            return true;
        if (local.ptr[i] == '.' && local.ptr[i + 1] == '.')
            return true;
    }
    return false;
}

static void add_quoted(struct strbuf *sb, struct span local)
{
    strbuf_add_char(sb, '"');
    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];
        if (c == '"' || c == '\\' || c == '\r' || c == '\n')
            strbuf_add_char(sb, '\\');
        strbuf_add_char(sb, c);
    }
    strbuf_add_char(sb, '"');
}

void addr_quote(struct strbuf *sb, struct span internal)
{
    struct span local, domain;

    if (internal.len == 0)
        return;
    addr_split(internal, &local, &domain);
    if (needs_quotes(local))
        add_quoted(sb, local);
    else
        strbuf_add_span(sb, local);
    if (local.len < internal.len) {
        strbuf_add_char(sb, '@');
        strbuf_add_span(sb, domain);
    }
}

void addr_unquote(struct strbuf *sb, struct span external)
{
    bool quoted = false;

    for (size_t i = 0; i < external.len; i++) {
        char c = external.ptr[i];
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '@' && !quoted && span_chr(span_skip(external, i + 1), '@') < 0) {
            strbuf_add_span(sb, span_skip(external, i));
            return;
        }
        if (c == '\\' && i + 1 < external.len)
            c = external.ptr[++i];
        strbuf_add_char(sb, c);
    }
}

void addr_split(struct span address, struct span *local_out, struct span *domain_out)
{
    ssize_t at = span_rchr(address, '@');

    *local_out = at < 0 ? address : span_first(address, (size_t)at);
    *domain_out = at < 0 ? SPAN_EMPTY : span_skip(address, (size_t)at + 1);
}

/* "owner-list" and "list-request" belong to mailing lists, not to user "owner". */
static bool is_list_role(struct span local)
{
    return span_istarts(local, SPAN_LIT("owner-")) ||
           span_iends(local, SPAN_LIT("-request"));
}

bool addr_split_extension(struct span local, const char *delimiters,
                          struct span *user_out, struct span *extension_out)
{
    *user_out = local;
    *extension_out = SPAN_EMPTY;
    if (!delimiters || !*delimiters || span_ieq_str(local, "mailer-daemon") ||
        span_ieq_str(local, "double-bounce"))
        return false;
    if (strchr(delimiters, '-') && is_list_role(local))
        return false;
    /* A delimiter in front separates nothing. */
    for (size_t i = 1; i < local.len; i++) {
        if (local.ptr[i] && strchr(delimiters, local.ptr[i])) {
            *user_out = span_first(local, i);
            *extension_out = span_skip(local, i + 1);
            return true;
        }
    }
    return false;
}

bool addr_is_canonical(struct span internal)
{
    ssize_t at = span_chr(internal, '@');
    bool dot = false;

    if (at <= 0)
        return false;
    struct span local = span_first(internal, (size_t)at);
    if (local.ptr[0] == '-' || needs_quotes(local) || span_chr(local, '!') >= 0 ||
        span_chr(local, '%') >= 0)
        return false;
    struct span domain = span_skip(internal, (size_t)at + 1);
    char last = '.';
    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.ptr[i];
        if (c == '.') {
            if (last == '.')
                return false;
            dot = true;
        } else if (!ascii_alnum(c) && c != '-' && c != '_') {
            return false;
        }
        last = c;
    }
    return dot && last != '.';
}
