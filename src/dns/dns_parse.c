#include "dns/dns_internal.h"
#include "dns/dns_name.h"

#define HEADER_LEN     12
#define FIXED_RR_LEN   10 /* type, class, ttl, rdlength */
#define CLASS_IN       1
#define TYPE_SOA       6
#define RECORDS_MAX    1000 /* examined; more are ignored */
#define CHAIN_MAX      16   /* CNAMEs followed */
#define POINTERS_MAX   64   /* in one compressed name */
#define NAME_TEXT_MAX  1024 /* 253 bytes, each escaped as \ddd */
#define WIRE_NAME_MAX  255
#define TTL_MAX        0x7fffffff
#define RCODE_NXDOMAIN 3

struct message {
    const uint8_t *ptr;
    size_t len;
    unsigned answers, authorities;
    size_t answers_at; /* offset of the first answer */
};

/* A name as text: labels joined by dots, odd bytes escaped. */
struct name {
    char text[NAME_TEXT_MAX + 1];
    size_t len;
};

struct rr {
    struct name owner;
    unsigned type, class;
    uint32_t ttl;
    size_t data_at, data_len;
};

static unsigned get_u16(const struct message *msg, size_t at)
{
    return (unsigned)msg->ptr[at] << 8 | msg->ptr[at + 1];
}

static uint32_t get_u32(const struct message *msg, size_t at)
{
    return (uint32_t)get_u16(msg, at) << 16 | get_u16(msg, at + 2);
}

static struct span name_span(const struct name *name)
{
    return span_of(name->text, name->len);
}

static void add_label(struct name *name, const uint8_t *label, size_t len)
{
    char *to = name->text + name->len;

    if (name->len > 0)
        *to++ = '.';
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];

        if (c > ' ' && c < 127 && c != '.' && c != '\\') {
            *to++ = (char)c;
        } else {
            *to++ = '\\';
            *to++ = (char)('0' + c / 100);
            *to++ = (char)('0' + c / 10 % 10);
            *to++ = (char)('0' + c % 10);
        }
    }
    *to = '\0';
    name->len = (size_t)(to - name->text);
}

/* The name at *at, which moves behind it. False: malformed. Pointers must lead
 * backwards, and both they and the name are bounded. */
static bool read_name(const struct message *msg, size_t *at, struct name *name)
{
    size_t pos = *at, wire_len = 0, limit = msg->len;
    int pointers = 0;

    name->len = 0;
    name->text[0] = '\0';
    for (;;) {
        size_t len;

        if (pos >= limit)
            return false;
        len = msg->ptr[pos];
        if (len >= 0xc0) {
            size_t target;

            if (pos + 1 >= limit || ++pointers > POINTERS_MAX)
                return false;
            target = get_u16(msg, pos) & 0x3fff;
            if (pointers == 1)
                *at = pos + 2;
            if (target >= pos)
                return false;
            pos = target;
            continue;
        }
        wire_len += len + 1;
        if (len > DNS_LABEL_MAX || pos + 1 + len > limit || wire_len > WIRE_NAME_MAX)
            return false;
        if (len == 0)
            break;
        add_label(name, msg->ptr + pos + 1, len);
        pos += 1 + len;
    }
    if (pointers == 0)
        *at = pos + 1;
    return true;
}

static bool read_rr(const struct message *msg, size_t *at, struct rr *rr)
{
    size_t pos = *at;

    if (!read_name(msg, &pos, &rr->owner) || msg->len - pos < FIXED_RR_LEN)
        return false;
    rr->type = get_u16(msg, pos);
    rr->class = get_u16(msg, pos + 2);
    rr->ttl = get_u32(msg, pos + 4);
    if (rr->ttl > TTL_MAX) /* RFC 2181, section 8 */
        rr->ttl = 0;
    rr->data_len = get_u16(msg, pos + 8);
    rr->data_at = pos + FIXED_RR_LEN;
    if (msg->len - rr->data_at < rr->data_len)
        return false;
    *at = rr->data_at + rr->data_len;
    return true;
}

/* Header and question. */
static bool open_message(struct message *msg, struct span reply, enum dns_type type,
                         struct span name)
{
    struct name question;
    size_t at = HEADER_LEN;

    msg->ptr = (const uint8_t *)reply.ptr;
    msg->len = reply.len;
    if (reply.len < HEADER_LEN || !(msg->ptr[2] & 0x80) || get_u16(msg, 4) != 1)
        return false;
    msg->answers = get_u16(msg, 6);
    msg->authorities = get_u16(msg, 8);
    if (!read_name(msg, &at, &question) || msg->len - at < 4)
        return false;
    if (get_u16(msg, at) != (unsigned)type || get_u16(msg, at + 2) != CLASS_IN ||
        !span_ieq(name_span(&question), name))
        return false;
    msg->answers_at = at + 4;
    return true;
}

/* -- one record -- */

struct builder {
    struct arena *arena;
    const struct message *msg;
    struct dns_result *result;
    struct dns_notes *notes;
    struct dns_record **tail;
    struct span question;
    size_t dropped;
};

static void note(struct builder *b, const char *text)
{
    if (b->notes->count < DNS_NOTES_MAX)
        b->notes->text[b->notes->count++] = text;
}

static void note_bad_name(struct builder *b, const struct rr *rr, const char *what,
                          const struct name *target)
{
    note(b, arena_printf(b->arena,
                         "%s domain name in resource data of %s record for "
                         "%.300s: %.300s",
                         what, dns_type_text((enum dns_type)rr->type), rr->owner.text,
                         target->text));
}

static bool set_target(struct builder *b, const struct rr *rr, size_t skip,
                       bool root_allowed, struct dns_record *rec)
{
    struct message part = *b->msg;
    struct name target;
    enum dns_name_check check;
    size_t at = rr->data_at + skip;

    /* A name must not run beyond its record; pointers lead back only. */
    part.len = rr->data_at + rr->data_len;
    if (rr->data_len <= skip || !read_name(&part, &at, &target)) {
        b->dropped++;
        return false;
    }
    check = dns_hostname_check(name_span(&target));
    if (check == DNS_NAME_NUMERIC && rr->type == DNS_MX) {
        /* A common mistake that works elsewhere: the address instead of a name. */
        note_bad_name(b, rr, "numeric", &target);
    } else if (check != DNS_NAME_OK && !(target.len == 0 && root_allowed)) {
        note_bad_name(b, rr, check == DNS_NAME_NUMERIC ? "numeric" : "malformed",
                      &target);
        b->dropped++;
        return false;
    }
    rec->target = arena_span(b->arena, name_span(&target));
    return true;
}

static bool set_addr(struct builder *b, const struct rr *rr, struct dns_record *rec)
{
    const uint8_t *data = b->msg->ptr + rr->data_at;

    if (rr->type == DNS_A && rr->data_len == 4) {
        rec->addr.in.sin_family = AF_INET;
        memcpy(&rec->addr.in.sin_addr, data, 4);
        rec->addr.len = sizeof rec->addr.in;
        return true;
    }
    if (rr->type == DNS_AAAA && rr->data_len == 16) {
        rec->addr.in6.sin6_family = AF_INET6;
        memcpy(&rec->addr.in6.sin6_addr, data, 16);
        rec->addr.len = sizeof rec->addr.in6;
        return true;
    }
    b->dropped++;
    return false;
}

static bool set_text(struct builder *b, const struct rr *rr, struct dns_record *rec)
{
    const uint8_t *data = b->msg->ptr + rr->data_at;
    char *text = arena_alloc(b->arena, rr->data_len + 1);
    size_t at = 0, len = 0;

    while (at < rr->data_len) {
        size_t part = data[at++];

        if (part > rr->data_len - at) {
            b->dropped++;
            return false;
        }
        memcpy(text + len, data + at, part);
        len += part;
        at += part;
    }
    rec->target = span_of(text, len);
    return true;
}

static bool set_srv(struct builder *b, const struct rr *rr, struct dns_record *rec)
{
    if (rr->data_len < 7) {
        b->dropped++;
        return false;
    }
    rec->pref = (uint16_t)get_u16(b->msg, rr->data_at);
    rec->weight = (uint16_t)get_u16(b->msg, rr->data_at + 2);
    rec->port = (uint16_t)get_u16(b->msg, rr->data_at + 4);
    return set_target(b, rr, 6, true, rec);
}

static bool set_mx(struct builder *b, const struct rr *rr, struct dns_record *rec)
{
    if (rr->data_len < 3) {
        b->dropped++;
        return false;
    }
    rec->pref = (uint16_t)get_u16(b->msg, rr->data_at);
    return set_target(b, rr, 2, true, rec);
}

static bool set_tlsa(struct builder *b, const struct rr *rr)
{
    if (rr->data_len >= 4)
        return true;
    b->dropped++;
    return false;
}

static bool set_fields(struct builder *b, const struct rr *rr, struct dns_record *rec)
{
    switch (rec->type) {
    case DNS_A:
    case DNS_AAAA:
        return set_addr(b, rr, rec);
    case DNS_MX:
        return set_mx(b, rr, rec);
    case DNS_SRV:
        return set_srv(b, rr, rec);
    case DNS_PTR:
    case DNS_CNAME:
        return set_target(b, rr, 0, false, rec);
    case DNS_TXT:
        return set_text(b, rr, rec);
    case DNS_TLSA:
        return set_tlsa(b, rr);
    }
    return false;
}

static void add_record(struct builder *b, const struct rr *rr)
{
    struct dns_record *rec = arena_alloc(b->arena, sizeof *rec);

    rec->type = (enum dns_type)rr->type;
    rec->ttl = rr->ttl;
    if (!set_fields(b, rr, rec))
        return;
    rec->name = arena_span(b->arena, name_span(&rr->owner));
    rec->data = arena_span(
        b->arena, span_of((const char *)b->msg->ptr + rr->data_at, rr->data_len));
    *b->tail = rec;
    b->tail = &rec->next;
    b->result->count++;
    if (rr->ttl < b->result->ttl)
        b->result->ttl = rr->ttl;
}

/* -- the whole -- */

/* Follow one CNAME of *current, if there is one. False: malformed. */
static bool follow_cname(const struct message *msg, const struct rr *rr,
                         struct name *current, uint32_t *ttl)
{
    struct message part = *msg;
    size_t at = rr->data_at;

    part.len = rr->data_at + rr->data_len;
    if (!read_name(&part, &at, current) || current->len == 0)
        return false;
    if (rr->ttl < *ttl)
        *ttl = rr->ttl;
    return true;
}

static bool report_loop(struct builder *b)
{
    b->result->text =
        arena_printf(b->arena, "Name server loop for %.*s", SPAN_ARG(b->question));
    note(b, arena_printf(b->arena, "dns_lookup: %s", b->result->text));
    return false;
}

/* Where the CNAMEs lead. Servers send the chain in order, but nothing says so:
 * passes are repeated while they lead further. */
static bool walk_chain(struct builder *b, struct name *current)
{
    int hops = 0;

    for (bool moved = true; moved;) {
        size_t at = b->msg->answers_at;
        struct rr rr;

        moved = false;
        for (unsigned i = 0; i < b->msg->answers && i < RECORDS_MAX; i++) {
            if (!read_rr(b->msg, &at, &rr))
                return false;
            if (rr.type != DNS_CNAME || rr.class != CLASS_IN ||
                !span_ieq(name_span(&rr.owner), name_span(current)))
                continue;
            if (++hops > CHAIN_MAX)
                return report_loop(b);
            if (!follow_cname(b->msg, &rr, current, &b->result->ttl))
                return false;
            moved = true;
        }
    }
    if (hops > 0)
        b->result->cname = arena_span(b->arena, name_span(current));
    return true;
}

static bool collect(struct builder *b, enum dns_type type, const struct name *owner)
{
    size_t at = b->msg->answers_at;
    struct rr rr;

    for (unsigned i = 0; i < b->msg->answers && i < RECORDS_MAX; i++) {
        if (!read_rr(b->msg, &at, &rr))
            return false;
        if (rr.type == (unsigned)type && rr.class == CLASS_IN &&
            span_ieq(name_span(&rr.owner), name_span(owner)))
            add_record(b, &rr);
    }
    return true;
}

/* How long a negative answer holds (RFC 2308, section 5); 0: not said. */
static uint32_t negative_ttl(const struct message *msg)
{
    size_t at = msg->answers_at;
    struct rr rr;

    for (unsigned i = 0; i < msg->answers + msg->authorities && i < RECORDS_MAX; i++) {
        if (!read_rr(msg, &at, &rr))
            return 0;
        if (i >= msg->answers && rr.type == TYPE_SOA && rr.data_len >= 22) {
            uint32_t minimum = get_u32(msg, rr.data_at + rr.data_len - 4);

            return minimum < rr.ttl ? minimum : rr.ttl;
        }
    }
    return 0;
}

static enum dns_status empty_status(const struct builder *b)
{
    if (b->dropped > 0)
        return DNS_FAIL;
    return b->result->rcode == RCODE_NXDOMAIN ? DNS_NOTFOUND : DNS_NODATA;
}

void dns_parse_reply(struct arena *arena, struct span reply, enum dns_type type,
                     struct span name, struct dns_result *result_out,
                     struct dns_notes *notes_out)
{
    struct message msg;
    struct name current;
    struct builder b = {.arena = arena,
                        .msg = &msg,
                        .result = result_out,
                        .notes = notes_out,
                        .question = name,
                        .tail = &result_out->records};

    memset(result_out, 0, sizeof *result_out);
    notes_out->count = 0;
    result_out->status = DNS_FAIL;
    if (!open_message(&msg, reply, type, name))
        return;
    result_out->rcode = msg.ptr[3] & 0x0f;
    result_out->validated = (msg.ptr[3] & 0x20) != 0;
    if (result_out->rcode != 0 && result_out->rcode != RCODE_NXDOMAIN) {
        result_out->status = DNS_RETRY;
        return;
    }
    memcpy(current.text, name.ptr, name.len);
    current.text[current.len = name.len] = '\0';
    result_out->ttl = TTL_MAX;
    if ((type == DNS_CNAME || walk_chain(&b, &current)) && collect(&b, type, &current))
        result_out->status = result_out->count > 0 ? DNS_OK : empty_status(&b);
    if (result_out->status == DNS_FAIL) {
        result_out->records = NULL;
        result_out->count = 0;
        result_out->ttl = 0;
    }
    if (result_out->status == DNS_NOTFOUND || result_out->status == DNS_NODATA) {
        uint32_t ttl = negative_ttl(&msg);

        result_out->ttl = ttl < result_out->ttl ? ttl : result_out->ttl;
    }
}
