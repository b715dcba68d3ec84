#include "table/plugins/ldap_query.h"

#include <stdlib.h>

#define MAX_SEARCHES 10000 /* of one look-up */

/* -- quoting -- */

static void add_hex(struct strbuf *out, char c)
{
    strbuf_addf(out, "\\%02x", (unsigned)(unsigned char)c);
}

bool ldap_quote_filter(void *arg UNUSED, struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\0' || strchr("*()\\", c) || (unsigned char)c < 32)
            add_hex(out, c);
        else
            strbuf_add_char(out, c);
    }
    return true;
}

bool ldap_quote_dn(void *arg UNUSED, struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool at_edge = i == 0 || i + 1 == text.len;
        if (c == '\0' || strchr("\"+,;<>=\\", c) || (unsigned char)c < 32 ||
            (c == ' ' && at_edge) || (c == '#' && i == 0))
            add_hex(out, c);
        else
            strbuf_add_char(out, c);
    }
    return true;
}

/* -- searches still to be done -- */

struct search {
    struct search *next;
    char *where; /* DN or URL, as the entry has it; NULL: the first search */
    int depth;
};

struct run {
    struct ldap_query *query;
    LDAP *ld;
    struct search *first, **end;
    size_t count;
    struct backend_result result;
    struct err warning;
    struct err *err;
    int rc; /* LDAP result of a failed search */
};

/* False: too deep or too many. */
static bool add_search(struct run *run, struct span where, int depth)
{
    for (struct search *s = run->first; s; s = s->next)
        if (s->where && span_ieq_str(where, s->where))
            return true;
    if (depth > run->query->config->recursion_limit || run->count >= MAX_SEARCHES)
        return err_set(run->err, "recursion limit exceeded");
    struct search *search = xcalloc(1, sizeof(*search));
    search->where = where.ptr ? xstrndup(where.ptr, where.len) : NULL;
    search->depth = depth;
    *run->end = search;
    run->end = &search->next;
    run->count++;
    return true;
}

/* -- entries -- */

/* Call for each value of one attribute. */
static bool use_values(struct run *run, LDAPMessage *entry,
                       const struct ldap_attribute *attribute, int depth)
{
    struct berval **values = ldap_get_values_len(run->ld, entry, attribute->name);
    bool good = true;

    for (size_t i = 0; good && values && values[i]; i++) {
        struct span value = span_of(values[i]->bv_val, values[i]->bv_len);
        if (attribute->role != LDAP_ROLE_SPECIAL)
            good = backend_result_add(&run->result, value, &run->warning);
        else if (value.len > 0 && !memchr(value.ptr, '\0', value.len))
            good = add_search(run, value, depth + 1);
        if (!good && attribute->role != LDAP_ROLE_SPECIAL)
            *run->err = run->warning;
    }
    if (values)
        ldap_value_free_len(values);
    return good;
}

static bool has_role(struct run *run, LDAPMessage *entry, enum ldap_role role)
{
    const struct ldap_config *config = run->query->config;
    bool found = false;

    for (size_t i = 0; !found && i < config->attribute_count; i++) {
        if (config->attributes[i].role != role)
            continue;
        struct berval **values =
            ldap_get_values_len(run->ld, entry, config->attributes[i].name);
        found = values && values[0];
        if (values)
            ldap_value_free_len(values);
    }
    return found;
}

static bool use_entry(struct run *run, LDAPMessage *entry, int depth)
{
    const struct ldap_config *config = run->query->config;
    bool terminal = config->has_terminal && has_role(run, entry, LDAP_ROLE_TERMINAL);
    bool leaf = config->has_leaf && !has_role(run, entry, LDAP_ROLE_SPECIAL);

    for (size_t i = 0; i < config->attribute_count; i++) {
        const struct ldap_attribute *attribute = &config->attributes[i];
        if (terminal != (attribute->role == LDAP_ROLE_TERMINAL))
            continue;
        if (attribute->role == LDAP_ROLE_LEAF && !leaf)
            continue;
        if (!use_values(run, entry, attribute, depth))
            return false;
    }
    return true;
}

/* -- searching -- */

static bool is_selected(char **selected, const char *name)
{
    if (!selected || !selected[0])
        return true;
    for (; *selected; selected++)
        if (strcmp(*selected, "*") == 0 || strcasecmp(*selected, name) == 0)
            return true;
    return false;
}

/* Those of the table that selected (of a URL; NULL: all) has too. Caller frees. */
static char **wanted_attributes(const struct ldap_config *config, char **selected)
{
    char **names = xcalloc(config->attribute_count + 2, sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; i < config->attribute_count; i++)
        if (is_selected(selected, config->attributes[i].name))
            names[count++] = config->attributes[i].name;
    if (count == 0) /* an empty list would mean all */
        names[0] = LDAP_NO_ATTRS;
    return names;
}

/* One that a special attribute led to may be gone; the first must be there to be
 * found. Neither is an error. */
static bool search_at(struct run *run, const struct search *search, const char *base,
                      int scope, const char *filter, char **selected)
{
    char **attributes = wanted_attributes(run->query->config, selected);
    LDAPMessage *found;
    bool good = true;

    run->rc = ldap_conn_search(run->query->config, run->ld, base, scope, filter,
                               attributes, &found, run->err);
    free(attributes);
    if (run->rc == LDAP_NO_SUCH_OBJECT) {
        run->rc = LDAP_SUCCESS;
        return true;
    }
    if (run->rc != LDAP_SUCCESS)
        return false;
    for (LDAPMessage *entry = ldap_first_entry(run->ld, found); good && entry;
         entry = ldap_next_entry(run->ld, entry))
        good = use_entry(run, entry, search->depth);
    ldap_msgfree(found);
    return good;
}

static bool search_url(struct run *run, const struct search *search)
{
    LDAPURLDesc *url;

    if (ldap_url_parse(search->where, &url) != LDAP_URL_SUCCESS)
        return err_set(run->err, "malformed LDAP URL in an entry");
    int scope = url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : url->lud_scope;
    bool good = search_at(run, search, url->lud_dn ? url->lud_dn : "", scope,
                          url->lud_filter ? url->lud_filter : "(objectClass=*)",
                          url->lud_attrs);
    ldap_free_urldesc(url);
    return good;
}

static bool do_search(struct run *run, const struct search *search)
{
    const struct ldap_query *query = run->query;

    if (!search->where)
        return search_at(run, search, query->base, query->config->scope, query->filter,
                         NULL);
    if (ldap_is_ldap_url(search->where))
        return search_url(run, search);
    return search_at(run, search, search->where, LDAP_SCOPE_BASE, "(objectClass=*)",
                     NULL);
}

bool ldap_query_run(struct ldap_query *query, LDAP *ld, struct err *err)
{
    struct run run = {.query = query, .ld = ld, .err = err};
    bool good = true;

    run.end = &run.first;
    strbuf_reset(query->value);
    run.result = backend_result_start(query->backend, query->key, query->value);
    add_search(&run, SPAN_EMPTY, 0);
    for (struct search *s = run.first; good && s; s = s->next)
        good = do_search(&run, s);
    while (run.first) {
        struct search *next = run.first->next;
        free(run.first->where);
        free(run.first);
        run.first = next;
    }
    query->status = good ? backend_result_status(&run.result) : TABLE_RETRY;
    if (good)
        *err = run.warning;
    return good || !ldap_conn_is_lost(run.rc);
}
