/* Sizes and times that contradict each other or the file system, and settings that
 * were meant for a while only. */
#include <sys/statvfs.h>

#include "global/macro.h"
#include "global/paths.h"
#include "postfix/check.h"

static bool exceeds(int64_t message, int64_t mailbox)
{
    return mailbox > 0 && (message == 0 || message > mailbox);
}

static void mailbox_size(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (exceeds(cfg->message_size_limit, cfg->mailbox_size_limit))
        check_found(check, at_main(check, "mailbox_size_limit"),
                    "mailbox_size_limit %lld is smaller than message_size_limit %lld",
                    (long long)cfg->mailbox_size_limit,
                    (long long)cfg->message_size_limit);
}

static void virtual_mailbox_size(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (exceeds(cfg->message_size_limit, cfg->virtual_mailbox_limit) &&
        cfg->virtual_mailbox_domains[0])
        check_found(
            check, at_main(check, "virtual_mailbox_limit"),
            "virtual_mailbox_limit %lld is smaller than message_size_limit %lld",
            (long long)cfg->virtual_mailbox_limit, (long long)cfg->message_size_limit);
}

static void minfree(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->queue_minfree > 0 &&
        (double)cfg->queue_minfree < 1.5 * (double)cfg->message_size_limit)
        check_found(
            check, at_main(check, "queue_minfree"),
            "queue_minfree %lld should be at least 1.5 times message_size_limit "
            "%lld",
            (long long)cfg->queue_minfree, (long long)cfg->message_size_limit);
}

static void disk_space(struct check *check)
{
    const struct config *cfg = check->cfg;
    double need = (double)cfg->queue_minfree, room;
    struct statvfs fs;

    if (need < 1.5 * (double)cfg->message_size_limit)
        need = 1.5 * (double)cfg->message_size_limit;
    if (statvfs(cfg->queue_directory, &fs) < 0)
        return;
    room = (double)fs.f_bavail * (double)fs.f_frsize;
    if (room < need)
        check_found(check, at_main(check, "queue_directory"),
                    "%s has %.0f bytes left, but %.0f are needed to accept mail",
                    cfg->queue_directory, room, need);
}

static void bounce_lifetime(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->bounce_queue_lifetime > cfg->maximal_queue_lifetime)
        check_found(check, at_main(check, "bounce_queue_lifetime"),
                    "bounce_queue_lifetime is longer than maximal_queue_lifetime");
}

static void zero_lifetime(struct check *check)
{
    if (check->cfg->maximal_queue_lifetime == 0)
        check_found(check, at_main(check, "maximal_queue_lifetime"),
                    "maximal_queue_lifetime is 0");
}

static void backoff(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->minimal_backoff_time > cfg->maximal_backoff_time)
        check_found(check, at_main(check, "minimal_backoff_time"),
                    "minimal_backoff_time is longer than maximal_backoff_time");
}

static void first_retry(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->maximal_queue_lifetime > 0 &&
        cfg->maximal_queue_lifetime < cfg->minimal_backoff_time)
        check_found(check, at_main(check, "maximal_queue_lifetime"),
                    "maximal_queue_lifetime is shorter than minimal_backoff_time");
}

static void late_warning(struct check *check)
{
    const struct config *cfg = check->cfg;

    if (cfg->delay_warning_time > 0 &&
        cfg->delay_warning_time >= cfg->maximal_queue_lifetime)
        check_found(check, at_main(check, "delay_warning_time"),
                    "delay_warning_time is not shorter than maximal_queue_lifetime");
}

static void soft_bounce(struct check *check)
{
    for (size_t i = 0; i < check->view_count; i++) {
        const struct check_view *view = &check->views[i];

        if (view->cfg->soft_bounce && view_sets(view, "soft_bounce"))
            check_found(check, at_view(check, view, "soft_bounce"),
                        "soft_bounce is on");
    }
}

static void debug_peers(struct check *check)
{
    if (check->cfg->debug_peer_list[0])
        check_found(check, at_main(check, "debug_peer_list"),
                    "debug_peer_list is set: %s", check->cfg->debug_peer_list);
}

/* "3.11" of "3.11.0". */
static struct span own_level(void)
{
    struct span version = SPAN_LIT(MAIL_VERSION);

    return span_first(version, (size_t)span_rchr(version, '.'));
}

static void level_unset(struct check *check)
{
    if (config_line(check->cfg, "compatibility_level") == 0)
        check_found(check, at_main(check, "compatibility_level"),
                    "compatibility_level is not set");
}

static void level_old(struct check *check)
{
    struct span level = span_str(check->cfg->compatibility_level);
    struct err err;
    int order;

    if (config_line(check->cfg, "compatibility_level") == 0 ||
        !macro_level_compare(level, own_level(), &order, &err) || order >= 0)
        return;
    check_found(check, at_main(check, "compatibility_level"),
                "compatibility_level %.*s is older than %.*s", SPAN_ARG(level),
                SPAN_ARG(own_level()));
}

const struct check_rule check_limit_rules[] = {
    {"mailbox-size", CHECK_ERROR, 0, mailbox_size,
     "local delivery refuses to run, and local mail waits",
     "make mailbox_size_limit 0 (no limit) or not smaller than message_size_limit"},
    {"virtual-mailbox-size", CHECK_ERROR, 0, virtual_mailbox_size,
     "virtual delivery refuses to run, and its mail waits",
     "make virtual_mailbox_limit 0 (no limit) or not smaller than message_size_limit"},
    {"queue-minfree", CHECK_WARNING, 0, minfree,
     "a message of permitted size may fill the file system",
     "make it 0, which means 1.5 times message_size_limit, or larger"},
    {"queue-full", CHECK_ERROR, 0, disk_space,
     "new mail is refused with 452 until there is more",
     "make room, or enlarge the file system"},
    {"bounce-lifetime", CHECK_WARNING, 0, bounce_lifetime,
     "reports of failures would be kept longer than the mail itself",
     "make it at most maximal_queue_lifetime"},
    {"zero-lifetime", CHECK_WARNING, 0, zero_lifetime,
     "mail is returned after the first attempt that fails, also for trouble of a "
     "minute",
     "set maximal_queue_lifetime to days, such as 5d"},
    {"backoff-order", CHECK_WARNING, 0, backoff,
     "every wait before a retry is then maximal_backoff_time",
     "make minimal_backoff_time the shorter one"},
    {"lifetime-short", CHECK_WARNING, 0, first_retry,
     "deferred mail is returned before it has been tried a second time",
     "make maximal_queue_lifetime several times minimal_backoff_time"},
    {"delay-warning-late", CHECK_WARNING, 0, late_warning,
     "senders never get the warning, as the mail is returned before",
     "make it a few hours, or 0 for no warnings"},
    {"soft-bounce", CHECK_WARNING, 0, soft_bounce,
     "mail that is refused for good comes back again and again, and failures stay in "
     "the "
     "queue",
     "turn it off when the test is over"},
    {"debug-peers", CHECK_WARNING, 0, debug_peers,
     "sessions with these peers fill the log", "remove it when the trouble is found"},
    {"compatibility-unset", CHECK_WARNING, 0, level_unset,
     "defaults of before compatibility levels are in force, less safe ones among them",
     "set it to the release of this mail system after a look at what changes"},
    {"compatibility-old", CHECK_WARNING, 0, level_old,
     "defaults of that release are in force, not those of this one",
     "raise it to the release of this mail system after a look at what changes"},
    {.code = NULL},
};
