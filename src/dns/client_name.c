#include "dns/client_name.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "dns/dns_name.h"
#include "util/hash.h"

#define KEEP_MS     5000
#define ENTRIES_MAX 1000

/* A look-up on its way, and then its result. */
struct entry {
    struct hash_node node;
    struct list age;
    char key[NET_ADDR_STRLEN];
    bool listed, in_flight;
    unsigned users;
    struct fiber_queue waiters;
    int64_t expires;
    struct client_name result;
};

static struct cache {
    struct hash table;
    struct list by_age; /* oldest first */
} cache = {.by_age = {&cache.by_age, &cache.by_age}};

static void copy_name(char to[CLIENT_NAME_SIZE], const char *name)
{
    snprintf(to, CLIENT_NAME_SIZE, "%s", name);
}

static enum client_name_status status_of_gai(int error)
{
    switch (error) {
    case EAI_AGAIN:
    case EAI_MEMORY:
    case EAI_SYSTEM:
        return CLIENT_NAME_TEMP;
    }
    return CLIENT_NAME_PERM;
}

static const char *gai_text(int error)
{
    return error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
}

static bool list_has_addr(const struct net_addr *list, size_t count,
                          const struct net_addr *addr)
{
    struct net_addr wanted = *addr;

    if (wanted.sa.sa_family == AF_INET6) /* names do not tell the link */
        wanted.in6.sin6_scope_id = 0;
    for (size_t i = 0; i < count; i++) {
        struct net_addr have = list[i];

        if (have.sa.sa_family == AF_INET6)
            have.in6.sin6_scope_id = 0;
        if (net_addr_equal_host(&have, &wanted))
            return true;
    }
    return false;
}

/* Does the name lead back to the address? Fills in name or warning. */
static void confirm(const struct net_addr *addr, const char *host,
                    struct client_name *result)
{
    struct net_addr *list;
    size_t count;
    int error =
        net_name_to_addrs(result->reverse_name, addr->sa.sa_family, &list, &count);

    if (error) {
        result->name_status = status_of_gai(error);
        snprintf(result->warning, sizeof result->warning,
                 "hostname %s does not resolve to address %s: %s", result->reverse_name,
                 host, gai_text(error));
    } else if (!list_has_addr(list, count, addr)) {
        result->name_status = CLIENT_NAME_FORGED;
        snprintf(result->warning, sizeof result->warning,
                 "hostname %s does not resolve to address %s", result->reverse_name,
                 host);
    } else {
        result->name_status = CLIENT_NAME_OK;
        copy_name(result->name, result->reverse_name);
    }
    free(list);
}

static void look_up(const struct net_addr *addr, struct client_name *result)
{
    char host[NET_ADDR_STRLEN], name[NI_MAXHOST];
    int error;

    memset(result, 0, sizeof *result);
    copy_name(result->name, "unknown");
    copy_name(result->reverse_name, "unknown");
    net_addr_host(addr, host);
    error = net_addr_to_name(addr, name, sizeof name);
    if (error) {
        result->name_status = result->reverse_name_status = status_of_gai(error);
        return;
    }
    if (!dns_hostname_valid(span_str(name))) {
        result->name_status = result->reverse_name_status = CLIENT_NAME_PERM;
        return;
    }
    copy_name(result->reverse_name, name);
    result->reverse_name_status = CLIENT_NAME_OK;
    confirm(addr, host, result);
}

/* -- sharing and keeping -- */

static void entry_drop(struct entry *entry)
{
    if (entry->listed) {
        hash_remove(&cache.table, &entry->node);
        list_remove(&entry->age);
        entry->listed = false;
    }
    if (entry->users == 0)
        free(entry);
}

static void make_room(void)
{
    struct list *link = cache.by_age.next;

    while (cache.table.count >= ENTRIES_MAX && link != &cache.by_age) {
        struct entry *entry = list_entry(link, struct entry, age);

        link = link->next;
        if (!entry->in_flight)
            entry_drop(entry);
    }
}

static struct entry *find_usable(const char *key)
{
    struct hash_node *node = hash_find(&cache.table, span_str(key));
    struct entry *entry;

    if (!node)
        return NULL;
    entry = hash_entry(node, struct entry, node);
    if (entry->in_flight || entry->expires > loop_now())
        return entry;
    entry_drop(entry);
    return NULL;
}

static struct entry *entry_new(const char *key)
{
    struct entry *entry = xcalloc(1, sizeof *entry);

    make_room();
    copy_name(entry->result.name, "unknown");
    copy_name(entry->result.reverse_name, "unknown");
    entry->result.name_status = entry->result.reverse_name_status = CLIENT_NAME_TEMP;
    memcpy(entry->key, key, strlen(key) + 1);
    fiber_queue_init(&entry->waiters);
    entry->listed = true;
    hash_insert(&cache.table, &entry->node, span_str(entry->key));
    list_append(&cache.by_age, &entry->age);
    return entry;
}

static void fill_entry(struct entry *entry, const struct net_addr *addr)
{
    struct client_name result;

    entry->in_flight = true;
    look_up(addr, &result);
    entry->result = result;
    entry->in_flight = false;
    if (result.name_status != CLIENT_NAME_TEMP)
        entry->expires = loop_now() + KEEP_MS;
    fiber_queue_wake_all(&entry->waiters);
}

static void wait_for_entry(struct entry *entry)
{
    /* The look-up always ends: worker threads are not cancelled. */
    while (entry->in_flight) {
        if (fiber_queue_wait(&entry->waiters, LOOP_NEVER) != WAIT_READY)
            return;
    }
}

static void be_local(struct client_name *result)
{
    memset(result, 0, sizeof *result);
    copy_name(result->name, "localhost");
    copy_name(result->reverse_name, "localhost");
    result->name_status = result->reverse_name_status = CLIENT_NAME_OK;
}

void client_name_lookup(const struct net_addr *addr, struct client_name *result_out)
{
    struct entry *entry;
    char key[NET_ADDR_STRLEN];

    if (addr->len == 0 ||
        (addr->sa.sa_family != AF_INET && addr->sa.sa_family != AF_INET6)) {
        be_local(result_out);
        return;
    }
    net_addr_host(addr, key);
    entry = find_usable(key);
    if (entry) {
        entry->users++;
        wait_for_entry(entry);
    } else {
        entry = entry_new(key);
        entry->users++;
        fill_entry(entry, addr);
    }
    *result_out = entry->result;
    entry->users--;
    if (entry->users == 0 && !entry->in_flight && entry->expires <= loop_now())
        entry_drop(entry);
    else if (entry->users == 0 && !entry->listed)
        free(entry);
}

void client_name_forget(void)
{
    while (!list_empty(&cache.by_age))
        entry_drop(list_first(&cache.by_age, struct entry, age));
}
