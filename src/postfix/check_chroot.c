/* Services that run with queue_directory as root directory need copies of system files
 * there, and fresh ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "postfix/check.h"
#include "util/file.h"

#define FILE_MAX  (4u << 20)
#define DEPTH_MAX 4

/* Without these a service in a chroot finds no hosts, ports or names. */
static const char *const needed[] = {"etc/resolv.conf", "etc/services", "etc/hosts",
                                     "etc/nsswitch.conf"};

static const struct master_entry *first_chrooted(const struct check *check)
{
    for (size_t i = 0; check->mcf && i < check->mcf->count; i++)
        if (check->mcf->entries[i].chroot)
            return &check->mcf->entries[i];
    return NULL;
}

static void missing_files(struct check *check)
{
    const struct master_entry *entry = first_chrooted(check);

    for (size_t i = 0; entry && i < ARRAY_LEN(needed); i++) {
        const char *copy =
            arena_printf(check->arena, "%s/%s", check->cfg->queue_directory, needed[i]);
        const char *original = arena_printf(check->arena, "/%s", needed[i]);

        if (access(original, F_OK) < 0 || access(copy, F_OK) == 0)
            continue;
        check_advise(check, "copy %s to %s, or make the chroot column n", original,
                     copy);
        check_found(check, at_entry(check, entry), "chrooted, but there is no %s",
                    copy);
    }
}

static bool same_content(const char *a, const char *b)
{
    struct strbuf left = STRBUF_INIT, right = STRBUF_INIT;
    struct err err;
    bool same = file_read_all(a, FILE_MAX, &left, &err) &&
                file_read_all(b, FILE_MAX, &right, &err) &&
                span_eq(strbuf_span(&left), strbuf_span(&right));

    strbuf_free(&left);
    strbuf_free(&right);
    return same;
}

static void compare(struct check *check, const char *copy, const char *original)
{
    struct stat st;

    if (stat(original, &st) < 0 || !S_ISREG(st.st_mode) || same_content(copy, original))
        return;
    check_advise(check, "copy %s to %s", original, copy);
    check_found(check, at_file(copy), "%s and %s differ", copy, original);
}

/* Whatever is in queue_directory/etc and /etc. */
static void compare_folder(struct check *check, const char *folder, int depth)
{
    const char *place =
        arena_printf(check->arena, "%s%s", check->cfg->queue_directory, folder);
    DIR *dir = depth < DEPTH_MAX ? opendir(place) : NULL;
    struct dirent *item;
    struct stat st;

    while (dir && (item = readdir(dir))) {
        const char *name = arena_printf(check->arena, "%s/%s", folder, item->d_name);
        const char *copy =
            arena_printf(check->arena, "%s%s", check->cfg->queue_directory, name);

        if (item->d_name[0] == '.' || lstat(copy, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            compare_folder(check, name, depth + 1);
        else if (S_ISREG(st.st_mode))
            compare(check, copy, name);
    }
    if (dir)
        closedir(dir);
}

static void stale_files(struct check *check)
{
    compare_folder(check, "/etc", 0);
}

const struct check_rule check_chroot_rules[] = {
    {"chroot-file", CHECK_WARNING, 0, missing_files,
     "the service cannot find hosts, ports or users by name",
     "copy the file there, or make the chroot column n"},
    {"chroot-stale", CHECK_WARNING, 0, stale_files,
     "chrooted services go by the old copy", "copy the file anew"},
    {.code = NULL},
};
