/* unix:passwd.byname and unix:group.byname: the system's user and group data bases,
 * through NSS, which may ask the network. The value is a line of the old files. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "table/table_type.h"

#define BUFFER_MAX (4u * 1024 * 1024)

struct unix_table {
    struct table table;
    int (*find)(const char *name, char *buf, size_t size, struct strbuf *value);
};

/* These return an errno value; ERANGE: the buffer is too small. An empty value means
 * not found. */
static int find_passwd(const char *name, char *buf, size_t size, struct strbuf *value)
{
    struct passwd entry, *found;
    int rc = getpwnam_r(name, &entry, buf, size, &found);

    if (rc == 0 && found)
        strbuf_addf(value, "%s:%s:%ld:%ld:%s:%s:%s", found->pw_name, found->pw_passwd,
                    (long)found->pw_uid, (long)found->pw_gid, found->pw_gecos,
                    found->pw_dir, found->pw_shell);
    return rc;
}

static int find_group(const char *name, char *buf, size_t size, struct strbuf *value)
{
    struct group entry, *found;
    int rc = getgrnam_r(name, &entry, buf, size, &found);

    if (rc != 0 || !found)
        return rc;
    strbuf_addf(value, "%s:%s:%ld:", found->gr_name, found->gr_passwd,
                (long)found->gr_gid);
    for (char **member = found->gr_mem; *member; member++)
        strbuf_addf(value, "%s%s", member == found->gr_mem ? "" : ",", *member);
    return 0;
}

static bool unix_open(struct table *table, struct err *err)
{
    struct unix_table *ut = (struct unix_table *)table;

    if (strcmp(table->name, "passwd.byname") == 0)
        ut->find = find_passwd;
    else if (strcmp(table->name, "group.byname") == 0)
        ut->find = find_group;
    else
        return err_set(err, "unknown table: %s", table->full_name);
    return true;
}

static void unix_close(struct table *table UNUSED)
{
}

static bool means_unknown(int rc)
{
    return rc == 0 || rc == ENOENT || rc == ESRCH || rc == EBADF || rc == EPERM;
}

static enum table_status unix_lookup(struct table *table, struct span key,
                                     struct strbuf *value, struct err *err)
{
    struct unix_table *ut = (struct unix_table *)table;
    char *name = xstrndup(key.ptr ? key.ptr : "", key.len);
    int rc = ERANGE;

    for (size_t size = 4096; rc == ERANGE && size <= BUFFER_MAX; size *= 4) {
        char *buf = xmalloc(size);
        rc = ut->find(name, buf, size, value);
        free(buf);
    }
    free(name);
    if (value->len > 0)
        return TABLE_FOUND;
    if (means_unknown(rc))
        return TABLE_NOT_FOUND;
    err_set(err, "%s: %s", table->full_name, strerror(rc));
    return TABLE_RETRY;
}

extern const struct table_type table_type_unix;
const struct table_type table_type_unix = {
    .name = "unix",
    .size = sizeof(struct unix_table),
    .flags = TABLE_FIXED | TABLE_BLOCKS,
    .thread_safe = true,
    .open = unix_open,
    .close = unix_close,
    .lookup = unix_lookup,
};
