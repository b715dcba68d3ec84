#include "table/plugins/ldap_query.h"

#include <stdlib.h>

#include "util/arena.h"

#define SEARCHES_MAX 100000 /* for one key */

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

/* -- what is still to be done for one key -- */

/* An entry, and the one whose special attribute led to it. */
struct place {
    const struct place *outer;
    const char *dn;
    int depth; /* 1: found by the first search */
};

/* A value of an entry: a result, or a DN or URL to go on with. */
struct step {
    struct step *next;
    struct span text;
    bool is_result;
    const struct place *place;
};

struct run {
    struct ldap_query *query;
    struct ldap_session *session;
    LDAP *ld;            /* of the session */
    struct arena *arena; /* for all above */
    struct step *steps;
    size_t searches;
    int64_t deadline_ms; /* to begin another search */
    struct backend_result result;
    struct err warning;
    struct err *err;
    int rc; /* LDAP result of a failed search */
};

/* -- entries -- */

/* An attribute may have several roles; that of a result is the weakest. */
static const struct ldap_attribute *find_attribute(const struct ldap_config *config,
                                                   const char *name)
{
    for (size_t i = 0; i < config->attribute_count; i++)
        if (strcasecmp(config->attributes[i].name, name) == 0)
            return &config->attributes[i];
    return NULL;
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

/* Append a step for each value to *end. Returns the new end. */
static struct step **add_values(struct run *run, struct step **end, LDAPMessage *entry,
                                const char *name, bool is_result,
                                const struct place *place)
{
    struct berval **values = ldap_get_values_len(run->ld, entry, name);

    for (size_t i = 0; values && values[i]; i++) {
        struct span text = span_of(values[i]->bv_val, values[i]->bv_len);
        if (!is_result && (text.len == 0 || memchr(text.ptr, '\0', text.len)))
            continue;
        struct step *step = arena_alloc(run->arena, sizeof(*step));
        *step = (struct step){.text = arena_span(run->arena, text),
                              .is_result = is_result,
                              .place = place};
        *end = step;
        end = &step->next;
    }
    if (values)
        ldap_value_free_len(values);
    return end;
}

/* NULL: it is where it leads to itself. */
static const struct place *place_of(struct run *run, LDAPMessage *entry,
                                    const struct place *outer)
{
    char *dn = ldap_get_dn(run->ld, entry);
    const struct place *place = outer;
    struct place *made = NULL;

    while (place && dn && strcasecmp(place->dn, dn) != 0)
        place = place->outer;
    if (!place) {
        made = arena_alloc(run->arena, sizeof(*made));
        made->outer = outer;
        made->dn = arena_str(run->arena, dn ? dn : "");
        made->depth = outer ? outer->depth + 1 : 1;
    }
    ldap_memfree(dn);
    return made;
}

/* Active Directory gives a part of many values under another name: with that part alone
 * a group would lose members, or look like a leaf. */
static bool is_part(const struct ldap_config *config, const char *name)
{
    const char *options = strchr(name, ';');

    if (!options || strncasecmp(options, ";range=", 7) != 0)
        return false;
    struct span bare = span_of(name, (size_t)(options - name));
    for (size_t i = 0; i < config->attribute_count; i++)
        if (span_ieq_str(bare, config->attributes[i].name))
            return true;
    return false;
}

/* Append the steps of an entry, in the order in which it holds its attributes. Returns
 * the new end, or NULL with err. */
static struct step **add_entry(struct run *run, struct step **end, LDAPMessage *entry,
                               const struct place *outer)
{
    const struct ldap_config *config = run->query->config;
    const struct place *place = place_of(run, entry, outer);
    BerElement *position = NULL;

    if (!place)
        return end;
    bool terminal = config->has_terminal && has_role(run, entry, LDAP_ROLE_TERMINAL);
    bool leaf = config->has_leaf && !has_role(run, entry, LDAP_ROLE_SPECIAL);
    for (char *name = ldap_first_attribute(run->ld, entry, &position); name;
         name = ldap_next_attribute(run->ld, entry, position)) {
        const struct ldap_attribute *attribute = find_attribute(config, name);
        if (attribute && terminal == (attribute->role == LDAP_ROLE_TERMINAL) &&
            (attribute->role != LDAP_ROLE_LEAF || leaf))
            end = add_values(run, end, entry, name,
                             attribute->role != LDAP_ROLE_SPECIAL, place);
        if (is_part(config, name)) {
            err_set(run->err, "%s has more values of %s than the server gives",
                    place->dn, name);
            end = NULL;
        }
        ldap_memfree(name);
        if (!end)
            break;
    }
    ber_free(position, 0);
    return end;
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

/* That there is nothing at a base that was made of the key, or that a special attribute
 * named, is no error; a base that is always the same must be there. */
static bool nothing_there(struct run *run, const struct place *outer)
{
    const struct ldap_config *config = run->query->config;

    if (!outer && !strchr(config->search_base, '%'))
        return false;
    return run->rc == LDAP_NO_SUCH_OBJECT ||
           (!outer && run->rc == LDAP_INVALID_DN_SYNTAX);
}

/* What is found is to be done before the other steps. */
static bool search_at(struct run *run, const struct place *outer, const char *base,
                      int scope, const char *filter, char **selected)
{
    const struct ldap_config *config = run->query->config;
    char **attributes = wanted_attributes(config, selected);
    LDAPMessage *found;
    struct step *first = NULL, **end = &first;

    run->rc = ldap_conn_search(config, run->session, base, scope, filter, attributes,
                               &found, run->err);
    free(attributes);
    if (run->rc != LDAP_SUCCESS)
        return nothing_there(run, outer);
    for (LDAPMessage *entry = ldap_first_entry(run->ld, found); entry && end;
         entry = ldap_next_entry(run->ld, entry))
        end = add_entry(run, end, entry, outer);
    ldap_msgfree(found);
    if (!end)
        return false;
    *end = run->steps;
    run->steps = first;
    return true;
}

static bool search_url(struct run *run, const struct place *outer, const char *text)
{
    LDAPURLDesc *url;

    if (ldap_url_parse(text, &url) != LDAP_URL_SUCCESS)
        return err_set(run->err, "a malformed LDAP URL in %s", outer->dn);
    int scope = url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : url->lud_scope;
    bool good = search_at(run, outer, url->lud_dn ? url->lud_dn : "", scope,
                          url->lud_filter ? url->lud_filter : "(objectClass=*)",
                          url->lud_attrs);
    ldap_free_urldesc(url);
    return good;
}

static bool follow(struct run *run, const struct step *step)
{
    const struct place *place = step->place;
    int limit = run->query->config->recursion_limit;

    if (place->depth >= limit)
        return err_set(run->err, "recursion_limit (%d) exceeded at %s", limit,
                       place->dn);
    if (++run->searches > SEARCHES_MAX || ldap_now_ms() > run->deadline_ms)
        return err_set(run->err,
                       "too many searches for one key, or they take too long");
    if (ldap_is_ldap_url(step->text.ptr))
        return search_url(run, place, step->text.ptr);
    return search_at(run, place, step->text.ptr, LDAP_SCOPE_BASE, "(objectClass=*)",
                     NULL);
}

static bool do_step(struct run *run, const struct step *step)
{
    if (!step->is_result)
        return follow(run, step);
    if (backend_result_add(&run->result, step->text, &run->warning))
        return true;
    *run->err = run->warning;
    return false;
}

bool ldap_query_run(struct ldap_query *query, struct ldap_session *session,
                    struct err *err)
{
    struct run run = {.query = query,
                      .session = session,
                      .ld = session->ld,
                      .err = err,
                      .arena = arena_new()};

    run.deadline_ms = ldap_now_ms() + 3000 * (int64_t)query->config->timeout_s;
    strbuf_reset(query->value);
    run.result = backend_result_start(query->backend, query->key, query->value);
    bool good =
        search_at(&run, NULL, query->base, query->config->scope, query->filter, NULL);
    while (good && run.steps) {
        struct step *step = run.steps;
        run.steps = step->next;
        good = do_step(&run, step);
    }
    arena_free(run.arena);
    query->status = good ? backend_result_status(&run.result) : TABLE_RETRY;
    query->timed_out = !good && run.rc == LDAP_TIMEOUT;
    if (good)
        *err = run.warning;
    return good || !ldap_conn_is_lost(run.rc);
}
