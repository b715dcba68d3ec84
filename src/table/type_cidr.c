/* cidr: network blocks; a key that is no address is not found. */
#include <arpa/inet.h>
#include <stdio.h>

#include "table/cidr_block.h"
#include "table/rules.h"
#include "util/net.h"

struct cidr {
    struct table table;
    struct rules rules;
    struct cidr_blocks *blocks;
};

/* "address/length", taken apart. */
struct cidr_text {
    struct span shown; /* in messages: without brackets */
    struct span host;
    struct span length;
    bool has_length;
    char buf[100];
};

/* "[address]", "[address/length]" and "[address]/length" are allowed too. */
static bool take_brackets(struct span text, struct cidr_text *out, struct err *err)
{
    ssize_t end = span_chr(text, ']');

    if (end < 0)
        return err_set(err, "missing ']' character after \"%.*s\"", SPAN_ARG(text));
    struct span inside = span_of(text.ptr + 1, (size_t)end - 1);
    struct span behind = span_skip(text, (size_t)end + 1);
    if (behind.len > 0 && behind.ptr[0] != '/')
        return err_set(err, "garbage after \"%.*s\"",
                       SPAN_ARG(span_first(text, (size_t)end + 1)));
    int len = snprintf(out->buf, sizeof(out->buf), "%.*s%.*s", SPAN_ARG(inside),
                       SPAN_ARG(behind));
    out->shown = span_of(out->buf, len < (int)sizeof(out->buf) ? (size_t)len
                                                               : sizeof(out->buf) - 1);
    out->host = inside;
    out->has_length = behind.len > 0;
    out->length = span_skip(behind, 1);
    return true;
}

static bool split_text(struct span text, struct cidr_text *out, struct err *err)
{
    out->shown = out->host = text;
    out->has_length = false;
    if (text.len > 0 && text.ptr[0] == '[' && !take_brackets(text, out, err))
        return false;
    ssize_t slash = span_chr(out->host, '/');
    if (slash >= 0 && !out->has_length) {
        out->length = span_skip(out->host, (size_t)slash + 1);
        out->host = span_first(out->host, (size_t)slash);
        out->has_length = true;
    }
    return true;
}

static bool parse_bytes(struct span host, int family, uint8_t bytes[16])
{
    char buf[INET6_ADDRSTRLEN];

    if (host.len >= sizeof(buf) || span_chr(host, '\0') >= 0)
        return false;
    memcpy(buf, host.ptr ? host.ptr : "", host.len);
    buf[host.len] = '\0';
    return inet_pton(family, buf, bytes) == 1;
}

/* Clear the bits behind the prefix; true when there were any. */
static bool clear_host_bits(struct net_block *block, unsigned bits)
{
    uint8_t any = 0;

    for (unsigned i = block->prefix_len / 8; i < bits / 8; i++) {
        unsigned kept = i == block->prefix_len / 8 ? block->prefix_len % 8 : 0;
        uint8_t mask = (uint8_t)(0xff >> kept);
        any |= block->bytes[i] & mask;
        block->bytes[i] &= (uint8_t)~mask;
    }
    return any != 0;
}

static bool parse_block(struct span text, struct net_block *block, struct err *err)
{
    struct cidr_text parts;
    char better[INET6_ADDRSTRLEN];

    if (!split_text(text, &parts, err))
        return false;
    memset(block, 0, sizeof(*block));
    block->family = span_chr(parts.host, ':') >= 0 ? AF_INET6 : AF_INET;
    unsigned bits = block->family == AF_INET ? 32 : 128;
    uint32_t length = bits;
    if (parts.has_length && !span_all_digits(parts.length))
        return err_set(err, "bad mask value in \"%.*s\"", SPAN_ARG(parts.shown));
    if (parts.has_length && (!span_u32(parts.length, &length) || length > bits))
        return err_set(err, "bad mask length in \"%.*s\"", SPAN_ARG(parts.shown));
    if (!parse_bytes(parts.host, block->family, block->bytes))
        return err_set(err, "%s \"%.*s\"",
                       parts.has_length ? "bad network value in"
                                        : "bad address pattern:",
                       SPAN_ARG(parts.shown));
    block->prefix_len = length;
    if (!clear_host_bits(block, bits))
        return true;
    inet_ntop(block->family, block->bytes, better, sizeof(better));
    return err_set(err,
                   "non-null host address bits in \"%.*s\", perhaps you should use "
                   "\"%s/%u\" instead",
                   SPAN_ARG(parts.shown), better, (unsigned)length);
}

/* NULL after a warning. */
static struct net_block *compile(const struct rules *rules, struct span text)
{
    struct net_block block;
    struct err err;

    if (text.len == 0) {
        rules_warn(rules, "no address pattern: skipping this rule");
        return NULL;
    }
    if (!parse_block(text, &block, &err)) {
        rules_warn(rules, "%s: skipping this rule", err.text);
        return NULL;
    }
    struct net_block *kept = arena_alloc(rules->arena, sizeof(*kept));
    *kept = block;
    return kept;
}

static void load_result(struct rules *rules, struct span line)
{
    bool negated = rules_negated(&line);
    size_t len = 0;

    while (len < line.len && !ascii_space(line.ptr[len]))
        len++;
    struct net_block *block = compile(rules, span_first(line, len));
    struct span result = span_ltrim(span_skip(line, len));
    if (block && result.len == 0)
        rules_warn(rules, "no lookup result: skipping this rule");
    else if (block)
        rules_add(rules, negated, block, result);
}

static void load_if(struct rules *rules, struct span line)
{
    bool negated = rules_negated(&line);
    struct net_block *block = compile(rules, line);

    if (block)
        rules_add_if(rules, negated, block);
}

static void load_line(struct table *table UNUSED, struct rules *rules, struct span line)
{
    switch (rules_keyword(&line)) {
    case RULE_IF:
        load_if(rules, line);
        break;
    case RULE_ENDIF:
        if (line.len > 0)
            rules_warn(rules, "garbage after ENDIF: skipping this rule");
        else if (!rules_add_endif(rules))
            rules_warn(rules, "ENDIF without IF: skipping this rule");
        break;
    case RULE_RESULT:
        load_result(rules, line);
        break;
    }
}

static bool cidr_open(struct table *table, struct err *err)
{
    struct cidr *cidr = (struct cidr *)table;

    if (!rules_load(&cidr->rules, "cidr", table, load_line, err))
        return false;
    cidr->blocks = cidr_blocks_new(&cidr->rules);
    return true;
}

static void cidr_close(struct table *table)
{
    struct cidr *cidr = (struct cidr *)table;

    cidr_blocks_free(cidr->blocks);
    rules_free(&cidr->rules, NULL);
}

/* Addresses as they are printed: no brackets, no prefix, no scope. */
static bool parse_key(struct span key, struct net_addr *addr)
{
    uint8_t bytes[16];
    int family = span_chr(key, ':') >= 0 ? AF_INET6 : AF_INET;

    if (!parse_bytes(key, family, bytes))
        return false;
    memset(addr, 0, sizeof(*addr));
    addr->sa.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        memcpy(&addr->in.sin_addr, bytes, 4);
        addr->len = sizeof(addr->in);
    } else {
        memcpy(&addr->in6.sin6_addr, bytes, 16);
        addr->len = sizeof(addr->in6);
    }
    return true;
}

static enum table_status cidr_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err UNUSED)
{
    struct cidr *cidr = (struct cidr *)table;
    struct net_addr addr;

    if (!parse_key(key, &addr))
        return TABLE_NOT_FOUND;
    const struct rule *rule = cidr_blocks_find(cidr->blocks, &addr);
    if (!rule)
        return TABLE_NOT_FOUND;
    strbuf_add_str(value, rule->result);
    return TABLE_FOUND;
}

extern const struct table_type table_type_cidr;
const struct table_type table_type_cidr = {
    .name = "cidr",
    .size = sizeof(struct cidr),
    .flags = TABLE_PATTERN,
    .open = cidr_open,
    .close = cidr_close,
    .lookup = cidr_lookup,
};
