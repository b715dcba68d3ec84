#include "cleanup/cleanup.h"

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

static void remember(struct cleanup_msg *msg, const struct recipient *rcpt, int64_t start)
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

static void write_recipient(struct cleanup_msg *msg, struct recipient *rcpt)
{
    struct strbuf *sb = &msg->out->buf;
    int64_t start;

    if (is_duplicate(msg, rcpt))
        return;
    if (msg->stage == CLEANUP_ENVELOPE)
        cleanup_envelope_end(msg);
    start = cleanup_out_offset(msg->out);
    if (rcpt->notify)
        add_notify(sb, rcpt->notify);
    rec_add_attr(sb, "dsn_orig_rcpt", span_str(rcpt->dsn_orcpt));
    rec_add_str(sb, REC_ORIG_RCPT, rcpt->orig);
    rcpt->offset = cleanup_out_offset(msg->out);
    rec_add_str(sb, REC_RCPT, rcpt->address);
    msg->notify_seen |= rcpt->notify;
    msg->rcpt_total++;
    remember(msg, rcpt, start);
}

void cleanup_recipient(struct cleanup_msg *msg, struct span address)
{
    struct recipient rcpt = msg->next;

    rcpt.address = cleanup_rewrite_envelope(msg, address);
    if (!rcpt.address)
        return;
    if (!rcpt.orig[0])
        rcpt.orig = arena_span_str(msg->arena, address);
    if (!rcpt.dsn_orcpt[0])
        rcpt.dsn_orcpt = arena_printf(msg->arena, "rfc822;%s", rcpt.address);
    write_recipient(msg, &rcpt);
    cleanup_out_relax(msg->out);
}

void cleanup_added_recipients(struct cleanup_msg *msg)
{
    const struct config *cfg = msg->cs->cfg;

    if (!(msg->flags & CLEANUP_BCC_OK) || msg->rcpt_total == 0)
        return;
    if (cfg->always_bcc[0])
        cleanup_recipient(msg, span_str(cfg->always_bcc));
}
