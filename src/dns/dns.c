#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "dns/dns_internal.h"
#include "dns/dns_name.h"
#include "util/escape.h"
#include "util/hash.h"
#include "util/msg.h"

#define QUERY_LIMIT_MS    60000
#define CACHE_ENTRIES_MAX 1000
#define CACHE_TTL_MAX_S   60
#define CACHE_REPLY_MAX   4096
#define KEY_MAX           (DNS_NAME_MAX + 16)

/* A question on its way, and then its answer. Users are the fibers that wait for it or
 * read it; an entry that is neither listed nor used ends. */
struct entry {
    struct hash_node node;
    struct list age; /* in cache.by_age while in the table */
    char key[KEY_MAX + 1];
    bool listed, in_flight;
    unsigned users;
    struct fiber_queue waiters;
    char *reply;
    size_t reply_len;
    int rcode;
    int64_t expires; /* 0: not to be kept */
};

static struct cache {
    struct hash table;
    struct list by_age; /* oldest first */
    bool off;
} cache = {.by_age = {&cache.by_age, &cache.by_age}};

const char *dns_type_text(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_CNAME:
        return "CNAME";
    case DNS_PTR:
        return "PTR";
    case DNS_MX:
        return "MX";
    case DNS_TXT:
        return "TXT";
    case DNS_AAAA:
        return "AAAA";
    case DNS_SRV:
        return "SRV";
    case DNS_TLSA:
        return "TLSA";
    }
    return "unknown";
}

/* -- entries -- */

static void entry_unlist(struct entry *entry)
{
    if (!entry->listed)
        return;
    hash_remove(&cache.table, &entry->node);
    list_remove(&entry->age);
    entry->listed = false;
}

static void entry_free_if_done(struct entry *entry)
{
    if (entry->listed || entry->in_flight || entry->users > 0)
        return;
    free(entry->reply);
    free(entry);
}

static void entry_drop(struct entry *entry)
{
    entry_unlist(entry);
    entry_free_if_done(entry);
}

static void cache_make_room(void)
{
    struct list *link = cache.by_age.next;

    while (cache.table.count >= CACHE_ENTRIES_MAX && link != &cache.by_age) {
        struct entry *entry = list_entry(link, struct entry, age);

        link = link->next;
        /* What is asked just now is found by others who ask the same. */
        if (!entry->in_flight)
            entry_drop(entry);
    }
}

static void entry_list(struct entry *entry)
{
    cache_make_room();
    hash_insert(&cache.table, &entry->node, span_str(entry->key));
    list_append(&cache.by_age, &entry->age);
    entry->listed = true;
}

static void cache_clear(void)
{
    while (!list_empty(&cache.by_age))
        entry_drop(list_first(&cache.by_age, struct entry, age));
}

static void entry_answered(void *arg, struct span reply, int rcode)
{
    struct entry *entry = arg;

    entry->in_flight = false;
    entry->rcode = rcode;
    if (reply.len > 0) {
        entry->reply = xmalloc(reply.len);
        memcpy(entry->reply, reply.ptr, reply.len);
        entry->reply_len = reply.len;
    }
    fiber_queue_wake_all(&entry->waiters);
    if (entry->users == 0)
        entry_drop(entry);
}

/* -- one query -- */

struct query {
    struct arena *arena;
    enum dns_type type;
    unsigned flags;
    char name[DNS_NAME_MAX + 1]; /* lower case */
    size_t name_len;
    struct dns_result *result;
};

static void make_key(const struct query *q, char key[KEY_MAX + 1])
{
    snprintf(key, KEY_MAX + 1, "%d/%d/%s", (int)q->type,
             (q->flags & DNS_WANT_DNSSEC) != 0, q->name);
}

static struct entry *find_usable(const char *key)
{
    struct hash_node *node = hash_find(&cache.table, span_str(key));
    struct entry *entry;

    if (!node)
        return NULL;
    entry = hash_entry(node, struct entry, node);
    /* With users, but not read by them yet: arrived in this tick. */
    if (entry->in_flight || entry->users > 0 || entry->expires > loop_now())
        return entry;
    entry_drop(entry);
    return NULL;
}

static struct entry *ask(const struct query *q, const char *key, bool list)
{
    struct entry *entry = xcalloc(1, sizeof *entry);

    memcpy(entry->key, key, strlen(key));
    fiber_queue_init(&entry->waiters);
    entry->in_flight = true;
    entry->users = 1; /* the answer may come at once: hold it */
    if (list)
        entry_list(entry);
    dns_channel_send(q->name, q->type, (q->flags & DNS_WANT_DNSSEC) != 0,
                     entry_answered, entry);
    entry->users--;
    return entry;
}

static void log_notes(const struct dns_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        msg_warn("%s", notes->text[i]);
}

/* How long an answer may be kept, in milliseconds. */
static int64_t keep_ms(const struct query *q, const struct entry *entry)
{
    uint32_t ttl = q->result->ttl;

    if (cache.off || entry->reply_len > CACHE_REPLY_MAX)
        return 0;
    if (q->result->status != DNS_OK && q->result->status != DNS_NOTFOUND &&
        q->result->status != DNS_NODATA)
        return 0;
    return 1000 * (int64_t)(ttl < CACHE_TTL_MAX_S ? ttl : CACHE_TTL_MAX_S);
}

static void read_answer(struct query *q, struct entry *entry)
{
    struct dns_notes notes;
    int64_t keep;

    if (entry->reply_len == 0) {
        q->result->rcode = entry->rcode;
        q->result->status = entry->rcode == 3 ? DNS_NOTFOUND : DNS_RETRY;
        return;
    }
    dns_parse_reply(q->arena, span_of(entry->reply, entry->reply_len), q->type,
                    span_of(q->name, q->name_len), q->result, &notes);
    if (!(q->flags & DNS_WANT_DNSSEC))
        q->result->validated = false;
    if (entry->expires == 0) { /* nobody read it before */
        log_notes(&notes);
        keep = keep_ms(q, entry);
        entry->expires = keep > 0 ? loop_now() + keep : -1;
    }
}

static bool await_answer(struct entry *entry)
{
    int64_t deadline = loop_deadline(QUERY_LIMIT_MS);

    while (entry->in_flight) {
        if (fiber_queue_wait(&entry->waiters, deadline) != WAIT_READY)
            return !entry->in_flight;
    }
    return true;
}

static void run_query(struct query *q)
{
    bool share = !(q->flags & DNS_NO_CACHE);
    char key[KEY_MAX + 1];
    struct entry *entry;

    if (dns_channel_refresh())
        cache_clear();
    make_key(q, key);
    entry = share ? find_usable(key) : NULL;
    if (!entry)
        entry = ask(q, key, share);
    entry->users++;
    q->result->status = DNS_RETRY;
    if (await_answer(entry))
        read_answer(q, entry);
    entry->users--;
    if (entry->users == 0 && !entry->in_flight && entry->expires <= loop_now())
        entry_unlist(entry);
    entry_free_if_done(entry);
}

/* -- results -- */

static const char *reason_of(enum dns_status status)
{
    static const char *const text[] = {
        [DNS_OK] = NULL,
        [DNS_NOTFOUND] = "Host not found",
        [DNS_NODATA] = "Host found but no data record of requested type",
        [DNS_RETRY] = "Host not found, try again",
        [DNS_FAIL] = "Malformed or unexpected name server reply",
        [DNS_INVALID_NAME] = "Invalid host or domain name",
    };

    return text[status];
}

static void set_texts(struct arena *arena, struct dns_result *result,
                      enum dns_type type, struct span name)
{
    struct strbuf shown = STRBUF_INIT;

    result->reason = reason_of(result->status);
    if (result->status == DNS_OK || result->text)
        return;
    escape_printable(&shown, span_first(name, DNS_NAME_MAX), '?', false);
    result->text = arena_printf(
        arena, "%sName service error for name=%s type=%s: %s",
        result->status == DNS_FAIL ? "" : "Host or domain name not found. ", shown.ptr,
        dns_type_text(type), result->reason);
    strbuf_free(&shown);
}

static bool answer_numeric(struct query *q)
{
    struct dns_record *rec;
    struct net_addr addr;

    if (q->type != DNS_A || !dns_ipv4_valid(span_of(q->name, q->name_len)))
        return false;
    net_addr_parse(span_of(q->name, q->name_len), 0, &addr);
    rec = arena_alloc(q->arena, sizeof *rec);
    rec->type = DNS_A;
    rec->addr = addr;
    rec->name = arena_span(q->arena, span_of(q->name, q->name_len));
    rec->data = arena_span(q->arena, span_of((const char *)&addr.in.sin_addr, 4));
    q->result->status = DNS_OK;
    q->result->records = rec;
    q->result->count = 1;
    return true;
}

enum dns_status dns_query(struct arena *arena, enum dns_type type, struct span name,
                          unsigned flags, struct dns_result *result_out)
{
    struct query q = {
        .arena = arena, .type = type, .flags = flags, .result = result_out};

    memset(result_out, 0, sizeof *result_out);
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!dns_domain_valid(name)) {
        result_out->status = DNS_INVALID_NAME;
    } else {
        for (size_t i = 0; i < name.len; i++)
            q.name[i] = ascii_lower(name.ptr[i]);
        q.name_len = name.len;
        if (!answer_numeric(&q))
            run_query(&q);
    }
    set_texts(arena, result_out, type, name);
    return result_out->status;
}

struct span dns_reverse_name(struct arena *arena, const struct net_addr *addr,
                             struct span zone)
{
    const uint8_t *b;
    struct strbuf text = STRBUF_INIT;
    struct span name;

    if (addr->sa.sa_family == AF_INET) {
        b = (const uint8_t *)&addr->in.sin_addr;
        strbuf_addf(&text, "%d.%d.%d.%d.", b[3], b[2], b[1], b[0]);
        strbuf_add_span(&text, zone.len ? zone : SPAN_LIT("in-addr.arpa"));
    } else {
        b = (const uint8_t *)&addr->in6.sin6_addr;
        for (int i = 15; i >= 0; i--)
            strbuf_addf(&text, "%x.%x.", b[i] & 15, b[i] >> 4);
        strbuf_add_span(&text, zone.len ? zone : SPAN_LIT("ip6.arpa"));
    }
    name = arena_span(arena, strbuf_span(&text));
    strbuf_free(&text);
    return name;
}

/* Insertion sort: answers are short and mostly sorted, and it keeps equals in order. */
void dns_sort_by_pref(struct dns_result *result)
{
    struct dns_record *sorted = NULL;

    for (struct dns_record *rec = result->records, *next; rec; rec = next) {
        struct dns_record **at = &sorted;

        next = rec->next;
        while (*at && (*at)->pref <= rec->pref)
            at = &(*at)->next;
        rec->next = *at;
        *at = rec;
    }
    result->records = sorted;
}

bool dns_set_servers(const char *servers, struct err *err)
{
    cache_clear();
    return dns_channel_set_servers(servers, err);
}

void dns_set_cache(bool on)
{
    cache.off = !on;
    cache_clear();
}

void dns_shutdown(void)
{
    dns_channel_shutdown();
    cache_clear();
    hash_free(&cache.table);
}
