#include "cleanup/cleanup.h"

#include "global/addr.h"
#include "util/msg.h"

/* Recipients sent along with the news for qmgr; it reads the file for the rest. */
#define NOTIFY_RCPTS   1000
#define RCPT_FIRST_CAP 8

struct duplicate {
    struct hash_node node;
};

/* Has this recipient been written already? The original address counts as long as
 * deliveries show it. */
static bool is_duplicate(struct cleanup_msg *msg, const struct recipient *rcpt)
{
    const struct config *cfg = msg->cs->cfg;
    struct duplicate *dup;
    struct span key;

    key = cfg->enable_original_recipient
              ? span_str(arena_printf(msg->arena, "%s\n%s\n%s", rcpt->address,
                                      rcpt->orig, rcpt->dsn_orcpt))
              : span_str(rcpt->address);
    if (hash_find(&msg->duplicates, key))
        return true;
    if (cfg->duplicate_filter_limit > 0 &&
        msg->duplicates.count >= (size_t)cfg->duplicate_filter_limit)
        return false;
    dup = arena_alloc(msg->arena, sizeof *dup);
    hash_insert(&msg->duplicates, &dup->node, key);
    return false;
}

static void remember(struct cleanup_msg *msg, const struct recipient *rcpt,
                     int64_t start)
{
    struct envelope *env = &msg->env;
    struct recipient *grown;

    if (env->rcpt_len >= NOTIFY_RCPTS) {
        if (env->next_rcpt_offset == 0)
            env->next_rcpt_offset = start;
        return;
    }
    if (env->rcpt_len == msg->rcpt_cap) {
        msg->rcpt_cap = msg->rcpt_cap ? msg->rcpt_cap * 4 : RCPT_FIRST_CAP;
        grown = arena_alloc(msg->arena, msg->rcpt_cap * sizeof *grown);
        if (env->rcpt_len)
            memcpy(grown, env->rcpts, env->rcpt_len * sizeof *grown);
        env->rcpts = grown;
    }
    env->rcpts[env->rcpt_len++] = *rcpt;
}

static void add_notify(struct strbuf *sb, int notify)
{
    char digits[3] = {(char)('0' + notify / 10), (char)('0' + notify % 10), '\0'};

    rec_add_attr(sb, "notify_flags", span_str(notify < 10 ? digits + 1 : digits));
}

/* dsn_orcpt empty: one that we added, which nobody hears of. */
static void write_recipient(struct cleanup_msg *msg, struct recipient *rcpt)
{
    struct strbuf *sb = &msg->out->buf;
    int64_t start;

    if (is_duplicate(msg, rcpt))
        return;
    start = cleanup_out_offset(msg->out);
    if (rcpt->notify)
        add_notify(sb, rcpt->notify);
    if (rcpt->dsn_orcpt[0])
        rec_add_attr(sb, "dsn_orig_rcpt", span_str(rcpt->dsn_orcpt));
    rec_add_str(sb, REC_ORIG_RCPT, rcpt->orig);
    rcpt->offset = cleanup_out_offset(msg->out);
    rec_add_str(sb, REC_RCPT, rcpt->address);
    msg->rcpt_total++;
    remember(msg, rcpt, start);
    cleanup_out_relax(msg->out);
}

/* What the recipient stands for. address: NULL after a failure. */
static void expand_recipient(struct cleanup_msg *msg, const struct recipient *model,
                             const char *address)
{
    struct cleanup_rewriter rw = cleanup_rewriter(msg);
    enum mapping_status status;
    struct recipient rcpt = *model;
    const char **list;
    size_t count;

    if (!address)
        return;
    if (!(msg->flags & CLEANUP_MAP_OK)) {
        rcpt.address = address;
        write_recipient(msg, &rcpt);
        return;
    }
    status =
        cleanup_map_virtual(msg->cs->maps, &rw, address, msg->arena, &list, &count);
    if (status != MAPPING_OK) {
        cleanup_map_failed(msg, status, address);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rcpt.address = list[i];
        write_recipient(msg, &rcpt);
    }
}

static void add_bcc(struct cleanup_msg *msg, const char *bcc)
{
    struct recipient rcpt = {.dsn_orcpt = "", .notify = NOTIFY_NEVER};
    const char *address;

    address = cleanup_complete_envelope(msg, span_str(bcc));
    address = cleanup_canonical(msg, address, CLASS_ENVELOPE_RCPT);
    rcpt.orig = address;
    expand_recipient(msg, &rcpt, address);
}

static void add_mapped_bcc(struct cleanup_msg *msg, enum address_class class,
                           const char *address)
{
    enum mapping_status status;
    const char *bcc;

    if (!(msg->flags & CLEANUP_BCC_OK) || !address)
        return;
    status = cleanup_map_bcc(msg->cs->maps, class, address, msg->arena, &bcc);
    if (status != MAPPING_OK)
        cleanup_map_failed(msg, status, address);
    else if (bcc)
        add_bcc(msg, bcc);
}

/* The recipient as it came, in external form. */
static const char *default_orcpt(struct arena *arena, const char *address)
{
    struct strbuf sb = STRBUF_INIT;
    const char *text;

    strbuf_add_str(&sb, "rfc822;");
    addr_quote(&sb, span_str(address));
    text = arena_span_str(arena, strbuf_span(&sb));
    strbuf_free(&sb);
    return text;
}

void cleanup_recipient(struct cleanup_msg *msg, struct span address)
{
    struct recipient rcpt = msg->next;
    const char *full, *canonical;

    if (msg->stage == CLEANUP_ENVELOPE)
        cleanup_envelope_end(msg);
    full = cleanup_complete_envelope(msg, address);
    if (!full)
        return;
    if (!rcpt.orig[0])
        rcpt.orig = arena_span_str(msg->arena, address);
    if (!rcpt.dsn_orcpt[0])
        rcpt.dsn_orcpt = default_orcpt(msg->arena, full);
    msg->notify_seen |= rcpt.notify;
    canonical = cleanup_canonical(msg, full, CLASS_ENVELOPE_RCPT);
    expand_recipient(msg, &rcpt, canonical);
    add_mapped_bcc(msg, CLASS_ENVELOPE_RCPT, canonical);
}

void cleanup_sender_bcc(struct cleanup_msg *msg)
{
    add_mapped_bcc(msg, CLASS_ENVELOPE_SENDER, msg->env.sender);
}

void cleanup_always_bcc(struct cleanup_msg *msg)
{
    if (msg->flags & CLEANUP_BCC_OK && msg->rcpt_total > 0 && !msg->status &&
        msg->cs->cfg->always_bcc[0])
        add_bcc(msg, msg->cs->cfg->always_bcc);
}
