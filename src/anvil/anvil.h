/* anvil(8): counts connections and events of clients for services that limit them. It
 * keeps no state beyond its own life.
 *
 * An ident is "service:client". Concurrency counts connections that are open now; each
 * belongs to the process that reported it and ends with it at the latest. Rates count
 * events of the current period of anvil_rate_time_unit, which begins at the first
 * event after the period before has passed. */
#ifndef ANVIL_ANVIL_H
#define ANVIL_ANVIL_H

#include "util/hash.h"
#include "util/list.h"
#include "util/span.h"
#include "util/strbuf.h"

enum anvil_rate {
    ANVIL_RATE_CONNECT,
    ANVIL_RATE_MESSAGE,
    ANVIL_RATE_RCPT,
    ANVIL_RATE_NEWTLS,
    ANVIL_RATE_AUTH,
    ANVIL_RATE_COUNT,
};

#define ANVIL_IDENT_MAX 512

/* One ident. */
struct anvil_entry {
    struct hash_node node;
    struct list idle; /* in anvil.idle while it has no connections */
    int64_t connections;
    int64_t since_ms; /* start of the current period */
    int64_t touched_ms;
    int64_t rates[ANVIL_RATE_COUNT];
    char ident[];
};

/* The highest value of something since the statistics were last logged. */
struct anvil_peak {
    int64_t value;
    int64_t when; /* wall clock, seconds */
    char ident[ANVIL_IDENT_MAX];
};

struct anvil {
    int64_t period_ms;
    struct hash entries;
    struct list idle; /* least recently used first */
    struct anvil_peak rate_peaks[ANVIL_RATE_COUNT];
    struct anvil_peak count_peak, size_peak;
};

/* One process that reports; knows which connections to forget with it. */
struct anvil_reporter {
    struct anvil *anvil;
    struct hash held; /* struct anvil_held of anvil_count.c */
};

/* anvil_count.c. now_ms: monotonic; when: wall clock for the statistics. */
void anvil_init(struct anvil *anvil, int64_t period_ms);
void anvil_free(struct anvil *anvil);
void anvil_reporter_init(struct anvil_reporter *rep, struct anvil *anvil);
void anvil_reporter_free(struct anvil_reporter *rep, int64_t now_ms);
/* Answer one request of global/anvil_client.h: appends attributes to reply. */
void anvil_request(struct anvil_reporter *rep, struct span request, int64_t now_ms,
                   int64_t when, struct strbuf *reply);
/* Forget idents that have been silent for a period. */
void anvil_expire(struct anvil *anvil, int64_t now_ms);

/* anvil_peak.c: log and reset the peaks. */
void anvil_log_peaks(struct anvil *anvil);
void anvil_peak_note(struct anvil_peak *peak, int64_t value, struct span ident,
                     int64_t when);

#endif
